/** `twinstream explain`: where one reading came from, or why there is none. */
import { Command, InvalidArgumentError } from "commander";
import type { Explanation } from "../domain/explanation.js";
import { DEFAULT_TENANT, isSegment } from "../domain/names.js";
import { askedTime } from "../domain/reading-search.js";
import type { SearchedUpTo } from "../gateway/explain.js";

interface Options {
  readonly point: string;
  /** Microseconds. */
  readonly at: number;
  readonly tenant: string;
  readonly json?: true;
}

const PROGRESS_MS = 2000;

export function explainCommand(): Command {
  return new Command("explain")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .description("where one reading came from, or why there is none")
    .argument("<device>", "device id", readSegment)
    .requiredOption("--point <name>", "the point's name")
    .requiredOption(
      "--at <time>",
      "the reading's time, exactly: ISO 8601, Unix seconds or milliseconds",
      readTime,
    )
    .option("--tenant <name>", "whose device", readSegment, DEFAULT_TENANT)
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Nothing is stored per row for this: the device's partition of the log is read from 24 h (FUTURE_LIMIT_HOURS) before the
reading's time on, and the first record that gives the reading is shown: topic, partition, offset, the device's own bytes,
the adapter, when it arrived and what decided its time. Uses KAFKA_BROKERS and DATABASE_URL and changes nothing.

  twinstream explain dev-1 --point temp_agua --at 2025-10-07T15:30:00Z
  twinstream explain dev-1 --point temp_agua --at 2025-10-07T15:30:00Z --tenant acme --json

Exit codes: 0 explained (also: why there is none), 1 failed, 2 bad arguments or settings.`,
    )
    .action(async (deviceId: string, options: Options) => {
      await explain(deviceId, options);
    });
}

async function explain(deviceId: string, options: Options): Promise<void> {
  const [
    { createLogInspector },
    { createExplainReader },
    { loadConfig },
    { explainReading },
    { decodeRules },
    { commandLogConnection },
  ] = await Promise.all([
    import("../adapters/kafka/inspector.js"),
    import("../adapters/timescale/explain-reader.js"),
    import("../config.js"),
    import("../gateway/explain.js"),
    import("./decode-rules.js"),
    import("./kafka-log.js"),
  ]);
  const config = loadConfig(process.env);
  const log = createLogInspector(commandLogConnection(config, "explain"));
  const reader = createExplainReader({
    url: config.DATABASE_URL,
    name: "explain",
    poolMax: 1,
  });
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  let said = Date.now();
  try {
    const answer = await explainReading(
      {
        tenant: options.tenant,
        deviceId,
        point: options.point,
        atUs: options.at,
      },
      {
        log,
        reader,
        rules: decodeRules(config, config.IOT_PARTITIONS),
        rawRetentionDays: config.RAW_RETENTION_DAYS,
        clock: Date.now,
      },
      {
        bytes: Infinity,
        signal: interrupted.signal,
        progress(at) {
          if (Date.now() - said < PROGRESS_MS) return;
          said = Date.now();
          console.error(`searched up to ${upTo(at)}`);
        },
      },
    );
    if (!answer.complete)
      throw new Error(`interrupted; searched up to ${upTo(answer.upTo)}`);
    const { explanation } = answer;
    console.log(
      options.json ? JSON.stringify(explanation) : asText(explanation),
    );
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    await Promise.all([log.close(), reader.close()]);
  }
}

const upTo = ({ topic, partition, offset, to, bytes }: SearchedUpTo): string =>
  `${topic}/${partition}@${offset} of ${to}, ${Math.round(bytes / 1e6)} MB read`;

function asText(it: Explanation): string {
  const { record, letter, nearest, searched } = it;
  const lines: [string, string | null][] = [
    ["reading", `${it.point} of ${it.device_id} (${it.tenant}) at ${it.at}`],
    ["outcome", `${it.outcome}: ${it.why}`],
    ["value now", it.value === null ? "none" : JSON.stringify(it.value)],
    ["stored", it.stored_at],
  ];
  if (record !== null)
    lines.push(
      ["record", `${record.topic}/${record.partition}@${record.offset}`],
      ["key", record.key],
      ["headers", JSON.stringify(record.headers)],
      ["arrived", record.arrived_at],
      ["on the log", record.logged_at],
      ["time from", record.time_rule],
      [
        "adapter",
        record.adapter && `${record.adapter.name} ${record.adapter.version}`,
      ],
      ["it says", record.value === null ? null : JSON.stringify(record.value)],
      [
        "payload",
        `${record.payload.bytes} bytes${record.payload.truncated ? ", cut" : ""}${record.payload.text === undefined ? ", base64" : ""}: ${record.payload.text ?? record.payload.base64}`,
      ],
    );
  if (letter !== null)
    lines.push([
      "dead letter",
      `${letter.id} of ${letter.at}: ${letter.reason}: ${letter.detail}`,
    ]);
  if (it.claim_id !== null)
    lines.push(["upload", `twinstream claims show ${it.claim_id}`]);
  lines.push(
    [
      "nearest",
      [nearest.earlier, nearest.later].map((t) => t ?? "–").join(" … "),
    ],
    [
      "searched",
      `${searched.topic}/${searched.partition}@${searched.from}–${searched.to}, ${searched.records} records of the device`,
    ],
  );
  return lines
    .filter(([, text]) => text !== null)
    .map(([name, text]) => `${name.padEnd(12)} ${text}`)
    .join("\n");
}

function readSegment(text: string): string {
  if (!isSegment(text))
    throw new InvalidArgumentError("must be 1 to 128 of [A-Za-z0-9._:-]");
  return text;
}

function readTime(text: string): number {
  const us = askedTime(text);
  if (us === null)
    throw new InvalidArgumentError(
      "must be ISO 8601, Unix seconds or milliseconds, from 1970 to 2199",
    );
  return us;
}
