/** `twinstream check`: is everything there that the roles need, and set up as they need it? */
import { Command, InvalidArgumentError } from "commander";
import { checkLog } from "../adapters/kafka/log-check.js";
import { checkQueue } from "../adapters/mqtt/queue-check.js";
import { checkRedis } from "../adapters/redis/redis-check.js";
import { checkDatabase } from "../adapters/timescale/database-check.js";
import { type Config, loadConfig } from "../config.js";
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
type PartFinding = Finding & { readonly part: string };

export function checkCommand(): Command {
  return new Command("check")
    .description(
      "connect to every service the roles need, and say what is wrong and what to do",
    )
    .option("--json", "print one JSON object instead of lines")
    .option(
      "--messages <count>",
      "messages to park at the MQTT broker; 0 leaves its queue alone",
      wholeNumber,
      5000,
    )
    .addHelpText(
      "after",
      `
Looks at MQTT_URL (and parks messages on a throw-away topic, twinstream/check/…, for a subscriber that is
away: all must be there when it comes back), KAFKA_BROKERS (topics and their partitions), REDIS_URL (version,
eviction policy), DATABASE_URL and DATABASE_READ_URL (version, schema, TimescaleDB). One that is away does not
keep it from looking at the others. Nothing is left behind.

Exit codes: 0 all is well, 1 something is wrong, 2 bad arguments or settings.`,
    )
    .action(async (options: { json?: true; messages: number }) => {
      const config = loadConfig(process.env);
      const found = await Promise.all(
        parts(config, options.messages).map(lookAt),
      );
      const findings = found.flat();
      const ok = findings.every(({ verdict }) => verdict !== "wrong");
      console.log(
        options.json ? JSON.stringify({ ok, findings }) : lines(findings),
      );
      process.exitCode = ok ? 0 : 1;
    });
}

function parts(config: Config, messages: number): Part[] {
  const log = createLogger({ ...config, LOG_LEVEL: "silent" });
  const all: Part[] = [
    {
      part: "MQTT",
      ms: QUEUE_MS,
      look: () =>
        checkQueue({
          url: config.MQTT_URL,
          messages,
          stageMs: QUEUE_STAGE_MS,
        }),
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
  return wrong(
    found,
    error.canRetry
      ? "start it, or correct its address in the settings"
      : ERRORS[error.code].message,
  );
}

const LABEL = { ok: "ok    ", advice: "advice", wrong: "WRONG " } as const;

function lines(findings: readonly PartFinding[]): string {
  const width = Math.max(...findings.map(({ part }) => part.length));
  const indent = " ".repeat(LABEL.ok.length + width + 4);
  return findings
    .map(({ part, verdict, found, remedy }) => {
      const line = `${LABEL[verdict]}  ${part.padEnd(width)}  ${found}`;
      return remedy === null ? line : `${line}\n${indent}→ ${remedy}`;
    })
    .join("\n");
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text))
    throw new InvalidArgumentError("must be a whole number, 0 to 999999");
  return Number(text);
}
