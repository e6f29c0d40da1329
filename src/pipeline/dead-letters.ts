/** Dead letters on their way to the log: the record as it came, with its reason and its origin in the headers. */
import type { DeadLetter } from "../domain/message.js";
import type { OutgoingRecord } from "../ports.js";

/** Header values beyond this are cut: a broker bounds a record as a whole. */
const ERROR_CHARS = 1000;

export function deadLetterRecord(
  letter: DeadLetter,
  failedAtMs: number,
): OutgoingRecord {
  const { source } = letter;
  return {
    key: source.key === null ? null : source.key.toString("utf8"),
    value: source.value,
    headers: {
      reason: letter.reason,
      error: letter.detail.slice(0, ERROR_CHARS),
      "source-topic": source.topic,
      "source-partition": String(source.partition),
      "source-offset": String(source.offset),
      attempts: String(letter.attempts),
      "failed-at": new Date(failedAtMs).toISOString(),
    },
  };
}
