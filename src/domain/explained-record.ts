/** A record as an explanation shows it: where it lies, when it came, the device's own bytes, and what decided its time. */
import { isUtf8 } from "node:buffer";
import type { JsonObject } from "./adapters/adapter.js";
import { ADAPTERS } from "./adapters/registry.js";
import { isFault } from "./fault.js";
import type {
  DataMessage,
  DeadLetter,
  LogHeaders,
  LogRecord,
} from "./message.js";
import type { Witness } from "./reading-search.js";
import { toIso } from "./time.js";

export interface ExplainedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly headers: LogHeaders;
  /** When it reached the bridge, and when the log took it. */
  readonly arrived_at: string | null;
  readonly logged_at: string;
  /** What decided the reading's time. */
  readonly time_rule: string | null;
  /** That reads the payload today. */
  readonly adapter: { readonly name: string; readonly version: number } | null;
  /** What the record says the value is. */
  readonly value: number | boolean | string | null;
  /** The device's own bytes: as text, or as base64 where they are not UTF-8. */
  readonly payload: {
    readonly bytes: number;
    readonly truncated: boolean;
    readonly text?: string;
    readonly base64?: string;
  };
}

const PAYLOAD_BYTES = 64 * 1024;

export function recordOf({ message, point }: Witness): ExplainedRecord {
  const { source } = message;
  const given = JSON.parse(message.payload) as JsonObject;
  return {
    ...base(source),
    arrived_at: toIso(message.arrivalUs),
    ...(message.kind === "data"
      ? readBy(message, given)
      : { time_rule: "the reading's own time in the upload", adapter: null }),
    value:
      point.typeClass === "bool"
        ? point.value !== 0
        : (point.text ?? point.value),
    payload: payloadOf(Buffer.from(message.payload)),
  };
}

function readBy(
  message: DataMessage,
  given: JsonObject,
): Pick<ExplainedRecord, "time_rule" | "adapter"> {
  const adapter = ADAPTERS.get(message.adapter)!;
  const adapted = adapter.adapt(given);
  const field = isFault(adapted) ? null : adapted.timeField;
  return {
    time_rule: timeRule(field, field === null ? null : given[field]),
    adapter: { name: message.adapter, version: adapter.version },
  };
}

function timeRule(field: string | null, value: unknown): string {
  if (field === null)
    return "the payload has no time: the envelope's timestamp, its arrival at the bridge";
  if (typeof value === "string") return `the payload's ${field}, ISO 8601`;
  return `the payload's ${field}, Unix ${Number(value) >= 1e11 ? "milliseconds" : "seconds"}`;
}

export const suspectRecord = (letter: DeadLetter): ExplainedRecord => ({
  ...base(letter.source),
  arrived_at: null,
  time_rule: null,
  adapter: null,
  value: null,
  payload: payloadOf(letter.payload),
});

const base = ({
  topic,
  partition,
  offset,
  key,
  headers,
  timestampMs,
}: LogRecord) => ({
  topic,
  partition,
  offset,
  key: key?.toString("utf8") ?? null,
  headers,
  logged_at: toIso(timestampMs * 1000),
});

function payloadOf(bytes: Buffer): ExplainedRecord["payload"] {
  const kept = bytes.subarray(0, PAYLOAD_BYTES);
  const about = {
    bytes: bytes.length,
    truncated: kept.length < bytes.length,
  };
  return isUtf8(bytes)
    ? { ...about, text: kept.toString("utf8") }
    : { ...about, base64: kept.toString("base64") };
}
