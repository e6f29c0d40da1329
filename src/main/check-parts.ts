/** What `twinstream check` looks at, each within its time and whatever becomes of the others. */
import { checkLog } from "../adapters/kafka/log-check.js";
import { checkAccounts } from "../adapters/mqtt/accounts-check.js";
import { checkQueue } from "../adapters/mqtt/queue-check.js";
import { checkObjects } from "../adapters/objects/objects-check.js";
import { checkRedis } from "../adapters/redis/redis-check.js";
import { checkDatabase } from "../adapters/timescale/database-check.js";
import type { Config } from "../config.js";
import { type Finding, wrong } from "../domain/finding.js";
import { ERRORS, reasonOf, TwinstreamError } from "../errors.js";
import { createLogger, withoutSecrets } from "../observe/logger.js";
import { logConnection } from "./kafka-log.js";

/** Milliseconds for all that is looked at in one place; the broker's queue has three stages of 20 s. */
const PART_MS = 20_000;
const QUEUE_STAGE_MS = 20_000;
const QUEUE_MS = 75_000;

interface Part {
  readonly part: string;
  readonly ms: number;
  readonly look: () => Promise<Finding[]>;
}
export type PartFinding = Finding & { readonly part: string };

/** Looks at every service at once. `messages` are parked at the broker; 0 leaves its queue alone. Never throws. */
export async function checkAll(
  config: Config,
  messages: number,
): Promise<PartFinding[]> {
  return (await Promise.all(parts(config, messages).map(lookAt))).flat();
}

function parts(config: Config, messages: number): Part[] {
  const log = createLogger({ ...config, LOG_LEVEL: "silent" });
  const all: Part[] = [
    {
      part: "MQTT",
      ms: QUEUE_MS,
      look: async () => [
        ...(await checkQueue({
          url: config.MQTT_URL,
          messages,
          stageMs: QUEUE_STAGE_MS,
        })),
        ...(await checkAccounts(
          config.MQTT_URL,
          config.MQTT_ADMIN_URL ?? null,
        )),
      ],
    },
    {
      part: "log",
      ms: PART_MS,
      look: () =>
        checkLog(
          logConnection({ config, log }, "check"),
          config.IOT_PARTITIONS,
        ),
    },
    {
      part: "Redis",
      ms: PART_MS,
      look: () => checkRedis({ url: config.REDIS_URL }),
    },
    {
      part: "database",
      ms: PART_MS,
      look: () => checkDatabase({ url: config.DATABASE_URL, replica: false }),
    },
    {
      part: "objects",
      ms: PART_MS,
      look: () => checkObjects(config),
    },
  ];
  const { DATABASE_READ_URL: url } = config;
  if (url !== undefined)
    all.push({
      part: "read replica",
      ms: PART_MS,
      look: () => checkDatabase({ url, replica: true }),
    });
  return all;
}

/** Never throws: what keeps us from looking is a finding too. */
async function lookAt({ part, ms, look }: Part): Promise<PartFinding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding[]>((resolve) => {
    timer = setTimeout(
      () =>
        resolve([
          wrong(
            `did not answer within ${ms / 1000} s`,
            "look whether it hangs, and whether something between here and there swallows packets",
          ),
        ]),
      ms,
    );
  });
  try {
    return (await Promise.race([look(), late])).map((finding) => ({
      part,
      ...finding,
    }));
  } catch (error) {
    return [{ part, ...failed(error) }];
  } finally {
    clearTimeout(timer);
  }
}

function failed(error: unknown): Finding {
  const found = withoutSecrets(reasonOf(error));
  if (!(error instanceof TwinstreamError))
    return wrong(found, "this should not happen; please report it");
  if (error.code === "CONFIG_INVALID")
    return wrong(found, "correct it in the environment or in .env");
  return wrong(
    found,
    error.canRetry
      ? "start it, or correct its address in the settings"
      : ERRORS[error.code].message,
  );
}
