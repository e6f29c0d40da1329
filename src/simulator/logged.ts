/** A record of the log as the comparison with the sender's ledger needs it. Pure. */
import { hash } from "node:crypto";
import { bytesOf } from "../domain/dead-letter.js";
import { type DecodeRules, createDecoder } from "../domain/decode.js";
import { readEnvelope } from "../domain/envelope-reader.js";
import { isFault } from "../domain/fault.js";
import type { LogRecord } from "../domain/message.js";
import { type Logged, valuesOf } from "./compare.js";

/** Answers null for what a device whose address begins so has not sent. */
export function loggedReader(
  rules: DecodeRules,
  prefix: string,
): (record: LogRecord) => Logged | null {
  const { decode } = createDecoder(rules);
  return (record) => {
    const key = record.key?.toString("latin1") ?? "";
    if (!key.startsWith(prefix)) return null;
    const envelope = readEnvelope(record, key);
    if (isFault(envelope)) return null;
    const message = decode(record);
    return {
      dev: envelope.address,
      partition: record.partition,
      offset: record.offset,
      arrivalUs: envelope.arrivalUs,
      sha256: hash("sha256", bytesOf(envelope.payload, record)),
      reading:
        "kind" in message && message.kind === "data"
          ? { timeUs: message.timeUs, values: valuesOf(message.points) }
          : null,
    };
  };
}
