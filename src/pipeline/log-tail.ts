/** What comes to the log from now on, read beside the processors: no group, no offsets, nothing is committed. */
import type { LogRecord } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import type { LogInspector } from "../ports.js";
import { waitOr } from "./retry.js";

/** How often the log is asked for more; a person waits for it, not a device. */
const LOOK_MS = 200;

/**
 * Hands over the records of `iot-data` that come after the call, each partition in order.
 * @param each answers whether it takes more
 * @returns once `each` has had enough or `signal` is given
 * @throws what the log throws
 */
export async function tailLog(
  log: Pick<LogInspector, "bounds" | "read">,
  each: (record: LogRecord) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const enough = new AbortController();
  const ended = AbortSignal.any([signal, enough.signal]);
  const next = (await log.bounds(TOPIC.data)).map(({ high }) => high);

  async function catchUp(partition: number, high: number): Promise<void> {
    const range = {
      topic: TOPIC.data,
      partition,
      from: next[partition]!,
      to: high,
    };
    const take = async (records: LogRecord[]): Promise<void> => {
      for (const record of records) if (!each(record)) return enough.abort();
    };
    await log.read(range, take, ended);
    next[partition] = high;
  }

  try {
    do {
      const bounds = await log.bounds(TOPIC.data);
      for (const [partition, { high }] of bounds.entries()) {
        // A partition that was added meanwhile is new from its first record on.
        next[partition] ??= 0;
        if (ended.aborted) return;
        if (high > next[partition]) await catchUp(partition, high);
      }
    } while (await waitOr(ended, LOOK_MS));
  } catch (error) {
    if (!ended.aborted) throw error;
  }
}
