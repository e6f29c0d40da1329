/**
 * What devices and workers say besides telemetry: acks, events, states, bulk notes. Each reader is pure and answers the
 * fields of its message or the fault.
 */
import { createHash } from "node:crypto";
import type { JsonObject } from "./adapters/adapter.js";
import { timeFieldOf } from "./adapters/plain.js";
import { explainPoints, readPoints } from "./adapters/v1.js";
import type { Payload } from "./payload.js";
import { type Fault, fault, invalid, shown } from "./fault.js";
import { unstorablePath } from "./json-text.js";
import type {
  AckMessage,
  BulkMessage,
  EventMessage,
  StateMessage,
} from "./message.js";
import { parseTime } from "./time.js";

/** 10000-01-01: ISO 8601 has no year from here on. */
const END_US = 253_402_300_800_000_000;
const MAX_ID = 128;

const sha256 = (text: string): string =>
  createHash("sha256").update(text).digest("hex");

/** The payload as a JSON object whose strings can be stored. */
export function readObject(
  payload: Payload,
): { readonly value: JsonObject; readonly text: string } | Fault {
  if (payload.form === "none")
    return invalid("payload: expected an object, got nothing");
  if (payload.form !== "json") return payload.fault;
  const { value, text } = payload;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return invalid(`payload: expected an object, got ${shown(value)}`);
  const path = unstorablePath(text, value);
  if (path !== null)
    return invalid(`${shown(path)}: holds NUL or half of a surrogate pair`);
  return { value: value as JsonObject, text };
}

/** A member that is a time; a fault when it is none. */
export function readTime(payload: JsonObject, field: string): number | Fault {
  const us = parseTime(payload[field]);
  return Number.isNaN(us)
    ? invalid(
        `${field}: expected ISO 8601, Unix seconds or milliseconds, got ${shown(payload[field])}`,
      )
    : us;
}

/**
 * `ts_exec` is not held against the arrival as a reading's time is: a device whose clock is wrong has executed its command
 * all the same. Without one the arrival counts.
 */
export function readAck(
  payload: JsonObject,
  text: string,
  arrivalUs: number,
): Pick<AckMessage, "cmdId" | "ok" | "execUs" | "err" | "hash"> | Fault {
  const { schema, cmd_id: cmdId, ok, ts_exec: at } = payload;
  const err = payload["err"] ?? null;
  if (schema !== undefined && schema !== "v1")
    return fault(
      "unknown_schema",
      `schema: expected "v1", got ${shown(schema)}`,
    );
  if (!isId(cmdId)) return notAnId("cmd_id", cmdId);
  if (typeof ok !== "boolean")
    return invalid(`ok: expected true or false, got ${shown(ok)}`);
  if (err !== null && typeof err !== "string")
    return invalid(`err: expected a string or null, got ${shown(err)}`);
  const execUs =
    at === undefined || at === null ? arrivalUs : readTime(payload, "ts_exec");
  if (typeof execUs !== "number") return execUs;
  if (execUs < 0 || execUs >= END_US)
    return fault(
      "bad_timestamp",
      "ts_exec: not between the years 1970 and 9999",
    );
  return { cmdId, ok, execUs, err, hash: sha256(text) };
}

/** Any JSON object, with a time of its own or without. */
export function readEvent(
  payload: JsonObject,
  text: string,
  arrivalUs: number,
): Pick<EventMessage, "timeUs" | "payload" | "hash"> | Fault {
  const field = timeFieldOf(payload);
  const timeUs = field === null ? arrivalUs : readTime(payload, field);
  if (typeof timeUs !== "number") return timeUs;
  return { timeUs, payload: text, hash: sha256(text) };
}

/** `online` or `offline`, bare as last wills have it, or as a JSON string. */
export function readState(
  payload: Payload,
): Pick<StateMessage, "online"> | Fault {
  const said =
    payload.form === "bytes"
      ? payload.bytes.toString("latin1")
      : payload.form === "json"
        ? payload.value
        : undefined;
  if (said === "online" || said === "offline")
    return { online: said === "online" };
  return invalid(`payload: expected online or offline, got ${shown(said)}`);
}

/** The newest readings of one device in an upload, as the worker puts them on the log. */
export function readBulk(
  payload: JsonObject,
  text: string,
):
  | Pick<BulkMessage, "claimId" | "timeUs" | "seenUs" | "points" | "payload">
  | Fault {
  const { schema, claim_id: claimId, points: list } = payload;
  if (schema !== "bulk_v1")
    return fault(
      "unknown_schema",
      `schema: expected "bulk_v1", got ${shown(schema)}`,
    );
  if (!isId(claimId)) return notAnId("claim_id", claimId);
  const seenUs = readTime(payload, "received_at");
  if (typeof seenUs !== "number") return seenUs;
  const points = readPoints(list);
  if (points === null) return explainPoints(list);
  let timeUs = -Infinity;
  for (const [item, given] of (list as readonly JsonObject[]).entries()) {
    const us = parseTime(given["ts"]);
    if (Number.isNaN(us))
      return invalid(
        `points[${item}].ts: expected a time, got ${shown(given["ts"])}`,
      );
    timeUs = Math.max(timeUs, us);
  }
  return { claimId, timeUs, seenUs, points, payload: text };
}

const isId = (value: unknown): value is string =>
  typeof value === "string" && /^[\x21-\x7e]{1,128}$/.test(value);

const notAnId = (field: string, value: unknown): Fault =>
  invalid(
    `${field}: expected 1 to ${MAX_ID} visible ASCII characters, got ${shown(value)}`,
  );
