/** What `twinstream adapters try` works on: dead letters, or what comes to the log. Nothing is stored. */
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLetterReader } from "../adapters/timescale/letter-reader.js";
import { createTelemetryStore } from "../adapters/timescale/telemetry-store.js";
import { type Config, loadConfig } from "../config.js";
import { ADAPTERS } from "../domain/adapters/registry.js";
import { dryRecord } from "../domain/dry-run.js";
import { encodeEnvelope } from "../domain/envelope.js";
import { address, parseTopic, TOPIC } from "../domain/names.js";
import { createTrial, type Trial, type TrialResult } from "../domain/trial.js";
import type { DeadLetterReason } from "../errors.js";
import { tailLog } from "../pipeline/log-tail.js";
import { decodeRules } from "./decode-rules.js";
import { commandLogConnection } from "./kafka-log.js";

export interface TryQuestion {
  /** Name of the adapter. */
  readonly adapter: string;
  /** Null for every tenant's and every device's. */
  readonly tenant: string | null;
  readonly deviceId: string | null;
}

/** Told how many messages were tried so far, and of how many. */
export type SayProgress = (done: number, of: number) => void;

export interface TryReport extends TrialResult {
  /** Dead letters whose payload was kept in part; it cannot be read. */
  readonly capped: number;
  /** How many there were to try. */
  readonly of: number;
}

/** What an adapter can be the cause of. */
const READING_FAILED: readonly DeadLetterReason[] = [
  "invalid_schema",
  "unknown_schema",
  "bad_timestamp",
  "too_old",
];

/** The newest `limit` dead letters since then (Unix milliseconds; null for all). */
export async function tryLetters(
  question: TryQuestion & { sinceMs: number | null; limit: number },
  say: SayProgress,
): Promise<TryReport> {
  const config = loadConfig(process.env);
  const { IOT_PARTITIONS: partitions, MQTT_TENANT_PREFIX: prefix } = config;
  const trial = await openTrial(config, question, partitions);
  const reader = createLetterReader(config.DATABASE_URL);
  const asked = { ...question, reasons: READING_FAILED };
  let capped = 0;
  let done = 0;
  try {
    const of = Math.min(await reader.count(asked), question.limit);
    for await (const letter of reader.read(asked)) {
      const { payload, reason, detail } = letter;
      const from = parseTopic(letter.topic, prefix);
      // It came about then; the payload's own time, where it has one, is what is stored.
      const arrivalMs = letter.writtenUs / 1000;
      if (letter.truncated) capped++;
      else if ("reason" in from) trial.leaveOut();
      else
        trial.read(
          dryRecord(
            address(from.tenant, from.deviceId),
            encodeEnvelope({ ...from, payload, arrivalMs }),
            arrivalMs,
            partitions,
          ),
          `dead letter ${letter.id}`,
          { adapter: null, reason, detail },
        );
      say(++done, of);
    }
    return { ...trial.found, capped, of };
  } finally {
    await reader.close();
  }
}

/** The next `count` messages of telemetry, or as many as come before `signal`. */
export async function tryLive(
  question: TryQuestion & { count: number },
  say: SayProgress,
  signal: AbortSignal,
): Promise<TryReport> {
  const config = loadConfig(process.env);
  const { count } = question;
  const log = createLogInspector(commandLogConnection(config, "adapters"));
  try {
    const partitions = (await log.bounds(TOPIC.data)).length;
    const trial = await openTrial(config, question, partitions);
    say(0, count);
    await tailLog(
      log,
      (record) => {
        const { topic, partition, offset } = record;
        trial.read(record, `${topic}/${partition}@${offset}`);
        const { messages } = trial.found;
        say(messages, count);
        return messages < count;
      },
      signal,
    );
    return { ...trial.found, capped: 0, of: count };
  } finally {
    await log.close();
  }
}

/** Under the rules that the processors go by now. */
async function openTrial(
  config: Config,
  { adapter, tenant, deviceId }: TryQuestion,
  partitions: number,
): Promise<Trial> {
  const store = createTelemetryStore({
    url: config.DATABASE_URL,
    name: "adapters try",
    poolMin: 0,
    poolMax: 1,
  });
  try {
    return createTrial({
      adapter: ADAPTERS.get(adapter)!,
      rules: {
        ...decodeRules(config, partitions),
        tenants: await store.tenants(),
      },
      registered: await store.registeredAdapters(),
      tenant,
      deviceId,
    });
  } finally {
    await store.close();
  }
}
