/** What is kept of a record that says nothing that could be stored. */
import { type Fault, storable } from "./fault.js";
import type { DeadLetter, LogRecord } from "./message.js";
import type { Payload } from "./payload.js";

/** A detail goes into a log header and a column: enough to see what was wrong, whatever the device sent. */
const MAX_DETAIL = 1000;

/** What could be read of the record all the same. */
export type Known = Pick<
  DeadLetter,
  "tenant" | "deviceId" | "topic" | "payload"
>;

export const deadLetter = (
  record: LogRecord,
  wrong: Fault,
  known: Known,
): DeadLetter => ({
  source: record,
  reason: wrong.reason,
  detail: storable(wrong.detail.slice(0, MAX_DETAIL)),
  tenant: known.tenant,
  deviceId: known.deviceId,
  topic: storable(known.topic),
  payload: known.payload,
  item: -1,
  attempts: 1,
});

/** The device's own bytes; the record's value where the envelope does not tell them. */
export function bytesOf(payload: Payload, record: LogRecord): Buffer {
  if (payload.form === "json") return Buffer.from(payload.text);
  if (payload.form !== "none") return payload.bytes;
  return record.value ?? Buffer.alloc(0);
}
