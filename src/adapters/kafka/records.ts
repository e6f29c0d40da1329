/** kafkajs' messages as records of ours. */
import type { IHeaders, KafkaMessage } from "kafkajs";
import type { LogHeaders, LogRecord } from "../../domain/message.js";

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
      headers: headers ? headersOf(headers) : NO_HEADERS,
      timestampMs: Number(timestamp),
    });
  return records;
}

/** Of a header that is there several times, the last counts, as with other clients. */
function headersOf(headers: IHeaders): LogHeaders {
  let texts: Record<string, string> | undefined;
  for (const name in headers) {
    const given = headers[name];
    const value = Array.isArray(given) ? given.at(-1) : given;
    (texts ??= {})[name] = value ? value.toString() : "";
  }
  return texts ?? NO_HEADERS;
}
