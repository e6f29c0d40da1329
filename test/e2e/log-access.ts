/** The log as a test writes and reads it beside the roles. */
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import type { LogRecord } from "../../src/domain/message.js";
import type { LogWriter } from "../../src/ports.js";
import { quiet } from "../support/fleet.js";

export interface LogAccess {
  readonly append: LogWriter["append"];
  /** Everything of a topic, partition by partition, in order. */
  all(topic: string): Promise<LogRecord[]>;
  /** Offset of the next record, by partition. */
  ends(topic: string): Promise<number[]>;
}

export async function withLog<T>(
  env: Readonly<Record<string, string>>,
  work: (log: LogAccess) => Promise<T>,
): Promise<T> {
  const connection = connectLog(quiet(env));
  const inspector = createLogInspector(connection);
  const writer = createLogWriter(connection);
  const never = new AbortController();
  try {
    return await work({
      append: writer.append,
      async all(topic) {
        const found: LogRecord[] = [];
        const bounds = await inspector.bounds(topic);
        for (const [partition, { low, high }] of bounds.entries())
          await inspector.read(
            { topic, partition, from: low, to: high },
            async (records) => void found.push(...records),
            never.signal,
          );
        return found;
      },
      ends: async (topic) =>
        (await inspector.bounds(topic)).map(({ high }) => high),
    });
  } finally {
    await writer.close();
    await inspector.close();
  }
}
