/** Brings the database's schema and the log's topics to what this version needs; run again it changes nothing. */
import { ensureTopics } from "../adapters/kafka/topics.js";
import type { Engine } from "../adapters/timescale/engine.js";
import { migrate as migrateDatabase } from "../adapters/timescale/migrate.js";
import { loadConfig } from "../config.js";
import { createLogger } from "../observe/logger.js";
import { logConnection } from "./kafka-log.js";

export interface Done {
  /** Topics made by this run. */
  readonly topics: readonly string[];
  /** Of `iot-data` and `device-commands`. */
  readonly partitions: number;
  readonly engine: Engine;
  /** Files of `sql/` applied by this run. */
  readonly applied: readonly string[];
}

export async function migrate(say: (line: string) => void): Promise<Done> {
  const config = loadConfig(process.env);
  const log = createLogger({ ...config, LOG_LEVEL: "warn" });
  const topics = await ensureTopics(logConnection({ config, log }, "migrate"), {
    partitions: config.IOT_PARTITIONS,
    replication: config.LOG_REPLICATION,
  });
  say(
    topics.created.length === 0
      ? "log: all topics are there"
      : `log: made ${topics.created.join(", ")}`,
  );
  const { engine, applied } = await migrateDatabase({
    url: config.DATABASE_URL,
    rawRetentionDays: config.RAW_RETENTION_DAYS,
    dlqRetentionDays: config.DLQ_RETENTION_DAYS,
    say: (line) => say(`database: ${line}`),
  });
  return {
    topics: topics.created,
    partitions: topics.partitions,
    engine,
    applied,
  };
}
