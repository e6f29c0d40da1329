/** Whether Redis is set up so that the view in it can be trusted. */
import { advice, type Finding, fine, wrong } from "../../domain/finding.js";
import { connect } from "./connect.js";

const SILENCE_MS = 5000;
/** ZMSCORE and ZRANGE with LIMIT, which the view uses. */
const OLDEST = [6, 2] as const;

/** @throws TwinstreamError VIEW_UNREACHABLE */
export async function checkRedis(options: { url: string }): Promise<Finding[]> {
  const link = connect({
    url: options.url,
    name: "twinstream-check",
    silenceMs: SILENCE_MS,
  });
  try {
    return findingsIn(await link.run((redis) => redis.info()));
  } finally {
    await link.close();
  }
}

/** What the text of INFO says. */
export function findingsIn(info: string): Finding[] {
  const field = (name: string): string =>
    new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1] ?? "";
  const version = field("redis_version");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const old = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  const findings = [
    old
      ? wrong(`is version ${version}`, `use Redis ${OLDEST.join(".")} or later`)
      : fine(`is version ${version}`),
    field("role") === "slave"
      ? wrong(
          "is a replica, which takes no writes",
          "point REDIS_URL at the primary",
        )
      : fine("is a primary"),
  ];
  const limit = Number(field("maxmemory"));
  const policy = field("maxmemory_policy");
  if (policy !== "" && policy !== "noeviction")
    findings.push(
      wrong(
        `its eviction policy is ${policy}: when memory is short, it drops devices' states without a word`,
        "set maxmemory-policy noeviction; processors then wait until there is room",
      ),
    );
  else
    findings.push(
      limit === 0
        ? advice(
            "has no memory limit: it may take the whole machine's",
            "set maxmemory, and keep maxmemory-policy noeviction",
          )
        : fine("evicts nothing"),
    );
  if (field("aof_enabled") === "0" && field("rdb_last_bgsave_status") === "err")
    findings.push(
      wrong(
        "could not save its last snapshot, and takes no writes until it can",
        "make room on its disk, or look into its log",
      ),
    );
  return findings;
}
