/** What would become of a record that is not to be stored: the decoder's own answer, and which adapter it had read it by. */
import type { JsonObject } from "./adapters/adapter.js";
import { type ChooseAdapter, namesAdapter } from "./adapters/registry.js";
import { createDecoder, type DecodeRules } from "./decode.js";
import { isFault } from "./fault.js";
import type { DeadLetter, LogRecord, Message } from "./message.js";
import { TOPIC } from "./names.js";
import { partitionOf } from "./partition.js";

export interface DryRun {
  readonly outcome: Message | DeadLetter;
  /** Null when no adapter was asked: the message is no telemetry, or faulty before that. */
  readonly reading: Reading | null;
}

export interface Reading {
  /** Null when there is none for it. */
  readonly adapter: string | null;
  /** Whether the payload itself names its adapter. */
  readonly byName: boolean;
  readonly meta: JsonObject | null;
}

export function createDryRun(
  rules: Omit<DecodeRules, "adapterOf">,
  choose: ChooseAdapter,
): (record: LogRecord) => DryRun {
  let reading: Reading | null = null;
  const { decode } = createDecoder({
    ...rules,
    adapterOf(payload, address) {
      const adapter = choose(payload, address);
      const asked: Reading = {
        adapter: isFault(adapter) ? null : adapter.name,
        byName: namesAdapter(payload),
        meta: null,
      };
      reading = asked;
      if (isFault(adapter)) return adapter;
      return {
        ...adapter,
        adapt(given) {
          const adapted = adapter.adapt(given);
          if (!isFault(adapted)) reading = { ...asked, meta: adapted.meta };
          return adapted;
        },
      };
    },
  });
  return (record) => {
    reading = null;
    const outcome = decode(record);
    return { outcome, reading };
  };
}

/**
 * A record of `iot-data` that never was on the log.
 * @param value an envelope, as the bridge writes it @param partitions of `iot-data`
 */
export function dryRecord(
  key: string,
  value: Buffer,
  timestampMs: number,
  partitions: number,
): LogRecord {
  const bytes = Buffer.from(key);
  return {
    topic: TOPIC.data,
    partition: partitionOf(bytes, partitions),
    offset: 0,
    key: bytes,
    value,
    headers: {},
    timestampMs,
  };
}
