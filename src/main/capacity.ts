/** `twinstream capacity`: what this installation carries now, what will be full first, and which devices cost most. */
import { Command, InvalidArgumentError } from "commander";
import type { Headroom } from "../domain/capacity.js";
import { count } from "./arguments.js";
import type { Capacity } from "./capacity/look.js";
import type { RoleLoad } from "./capacity/roles.js";
import { ownMetricsHost, stackMetricsUrls } from "./metrics-urls.js";
import { table } from "./table.js";

/** From here on a part is called nearly full. */
const NEARLY = 0.8;

export function capacityCommand(): Command {
  return new Command("capacity")
    .description(
      "what this installation carries now, its headroom, and the devices that cost most",
    )
    .option(
      "--metrics <role=url>",
      "where a role answers /metrics; once for each (default: METRICS_URL… of .twinstream/stack.env, else METRICS_HOST:METRICS_PORT)",
      readRole,
      new Map<string, string>(),
    )
    .option("--seconds <n>", "between the two looks at each part", count, 10)
    .option(
      "--window <n>",
      "seconds of the log from which devices are counted",
      count,
      60,
    )
    .option("--top <n>", "devices to show", count, 20)
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
How to read it
  Each part is looked at twice; what grew in between is its load. "full at" says at how many messages a second a part
  would be full if its load grew in proportion: true for steady traffic, too low for a system that idles (what it does
  without messages is counted too). deploy/capacity.md has what a message, a device and a row cost, and tables for
  10,000 to 1,000,000 devices.
  A device's cost is CPU of processor, log, Redis and database together, by the measured price of a message and of a
  reading; its messages and bytes are counted on the log, where dead letters count too.

  set -a; . .twinstream/stack.env; set +a
  twinstream capacity                                      ten seconds, twenty devices
  twinstream capacity --seconds 60 --window 600            calmer figures
  twinstream capacity --metrics p1=http://10.0.0.5:9100 --metrics p2=http://10.0.0.6:9100 --metrics bridge=http://10.0.0.7:9100
  twinstream capacity --json | jq '.devices.top[0]'

Uses KAFKA_BROKERS, REDIS_URL, DATABASE_URL; writes nothing. Exit code: 0; 1 when a part is ${NEARLY * 100} % full or more,
or a role does not answer, 2 for bad arguments or settings.`,
    )
    .action(
      async (options: {
        metrics: Map<string, string>;
        seconds: number;
        window: number;
        top: number;
        json?: true;
      }) => {
        const { loadConfig } = await import("../config.js");
        const { lookAtCapacity } = await import("./capacity/look.js");
        const config = loadConfig(process.env);
        const metrics =
          options.metrics.size > 0
            ? options.metrics
            : stackMetricsUrls(process.env);
        if (metrics.size === 0)
          metrics.set("processor", `http://${ownMetricsHost(config)}`);
        const capacity = await lookAtCapacity(config, {
          metrics,
          seconds: options.seconds,
          windowSeconds: options.window,
          top: options.top,
        });
        console.log(options.json ? JSON.stringify(capacity) : shown(capacity));
        if (
          capacity.headroom.some(({ share }) => share >= NEARLY) ||
          capacity.roles.some(({ trouble }) => trouble !== null)
        )
          process.exitCode = 1;
      },
    );
}

function readRole(
  text: string,
  before: Map<string, string>,
): Map<string, string> {
  const [, role, url] = /^([\w.-]{1,40})=(https?:\/\/.+)$/.exec(text) ?? [];
  if (role === undefined || url === undefined || !URL.canParse(url))
    throw new InvalidArgumentError(
      "must be a name and an address, such as processor=http://127.0.0.1:9100",
    );
  return new Map(before).set(role, url);
}

const whole = (value: number): string =>
  value.toLocaleString("en", { maximumFractionDigits: 0 });
const some = (value: number): string =>
  value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 });
const percent = (share: number): string => `${some(share * 100)} %`;

function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024;
  return `${some(size)} ${units[unit]}`;
}

function shown(capacity: Capacity): string {
  const { log, redis, database, devices, headroom } = capacity;
  const parts = [
    `now: ${some(capacity.messagesPerSecond)} messages/s, ${some(capacity.pointsPerSecond)} new readings/s (over ${some(capacity.seconds)} s)`,
    "",
    table([
      [
        "role",
        "messages/s",
        "readings/s",
        "of a core",
        "memory",
        "actors",
        "lag",
      ],
      ...capacity.roles.map(roleRow),
    ]),
    "",
    `log: ${some(log.recordsPerSecond)} records/s, ${bytes(log.bytesPerSecond)}/s on ${log.partitions} partitions, the busiest with ${percent(log.busiestShare)} (even: ${percent(1 / log.partitions)})`,
    `redis: ${whole(redis.keys)} keys in ${bytes(redis.usedBytes)}`,
    `database: ${bytes(database.bytes)}; raw rows ${whole(database.rows)} in ${bytes(database.rawBytes)}; ${whole(database.rowsPerDay)} rows a day at this rate`,
    "",
    table([
      ["what fills", "", "used", "of", "", "full at"],
      ...headroom.map(loadRow),
    ]),
    ...headroom
      .filter(({ share }) => share >= NEARLY)
      .flatMap(({ part, what, remedy }) => [
        "",
        `${part}, ${what}: nearly full\n  → ${remedy}`,
      ]),
    ...firstOf(headroom),
    "",
    devices.seen === 0
      ? `no device said anything within ${log.windowSeconds} s`
      : table([
          [
            `costliest of ${whole(devices.seen)} devices`,
            "messages/s",
            "readings/s",
            "bytes/s",
            "CPU ms/s",
            "share",
          ],
          ...devices.top.map((one) => [
            one.device,
            some(one.messagesPerSecond),
            some(one.pointsPerSecond),
            some(one.bytesPerSecond),
            some(one.cpuMs),
            percent(one.share),
          ]),
        ]),
  ];
  return parts.join("\n");
}

/** What is full first when the rate grows, and what to do then. */
function firstOf(headroom: readonly Headroom[]): string[] {
  const first = headroom
    .filter(({ fullAt }) => fullAt !== null)
    .toSorted((a, b) => a.fullAt! - b.fullAt!)[0];
  return first === undefined
    ? []
    : [
        "",
        `full first as messages grow: ${first.part}, ${first.what}, at about ${whole(first.fullAt!)} messages/s\n  → ${first.remedy}`,
      ];
}

const roleRow = (role: RoleLoad): string[] =>
  role.trouble === null
    ? [
        role.role,
        some(role.messagesPerSecond),
        some(role.pointsPerSecond),
        percent(role.cores),
        bytes(role.residentBytes),
        whole(role.actors),
        whole(role.lag),
      ]
    : [role.role, `does not answer at ${role.url}: ${role.trouble}`];

function loadRow({ part, what, used, full, unit, share, fullAt }: Headroom) {
  const show = unit === "bytes" ? bytes : some;
  return [
    part,
    what,
    show(used),
    `${show(full)}${unit === "bytes" ? "" : ` ${unit}`}`,
    percent(share),
    fullAt === null ? "" : `${whole(fullAt)} messages/s`,
  ];
}
