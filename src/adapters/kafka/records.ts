/** kafkajs' messages as records of ours. Their headers are text already: see record-decoder.ts. */
import type { KafkaMessage } from "kafkajs";
import type { LogHeaders, LogRecord } from "../../domain/message.js";

/** Of a message of the format before Kafka 0.11. */
const NO_HEADERS: LogHeaders = Object.freeze({});

export function recordsOf(
  topic: string,
  partition: number,
  messages: readonly KafkaMessage[],
): LogRecord[] {
  const records: LogRecord[] = [];
  for (const { offset, key, value, headers, timestamp } of messages)
    records.push({
      topic,
      partition,
      offset: Number(offset),
      key,
      value,
      headers: (headers as LogHeaders | undefined) ?? NO_HEADERS,
      timestampMs: Number(timestamp),
    });
  return records;
}
