/**
 * Reads the value of a record of `iot-data` (see `envelope.ts` for its form).
 *
 * Two ways lead to the same answer. The form that our bridge writes is read from both ends and only the payload is parsed:
 * if the head is `{"device_id":"<key>","payload":`, the tail is a `timestamp` and known fields, and what stands between is
 * JSON by itself, then the whole is JSON with exactly these members and the text between is the payload. Everything else is
 * parsed whole and the payload's text looked up in it.
 */
import { isUtf8 } from "node:buffer";
import { reasonOf } from "../errors.js";
import { type Fault, fault, invalid, isFault, shown } from "./fault.js";
import type { LogRecord } from "./message.js";
import {
  address,
  DEFAULT_TENANT,
  ENVELOPE_KINDS,
  type EnvelopeKind,
  isSegment,
} from "./names.js";
import { NO_PAYLOAD, type Payload, readPayload } from "./payload.js";
import { parseSeconds } from "./time.js";

export interface Envelope {
  readonly kind: Exclude<EnvelopeKind, "bad_topic">;
  readonly tenant: string;
  readonly deviceId: string;
  readonly address: string;
  readonly site: string | null;
  /** Microseconds; NaN when there is none that can be read. */
  readonly arrivalUs: number;
  readonly payload: Payload;
}

/** An envelope that cannot be accepted, with what could be read of it. */
export interface BrokenEnvelope extends Fault {
  readonly tenant: string | null;
  readonly deviceId: string | null;
  /** The MQTT topic as it came, of a `bad_topic` record. */
  readonly topic: string | null;
  readonly payload: Payload;
}

const KINDS: ReadonlySet<unknown> = new Set(ENVELOPE_KINDS);

/** @param key the record's key as text; null when it has none. */
export function readEnvelope(
  record: LogRecord,
  key: string | null,
): Envelope | BrokenEnvelope {
  const value = record.value;
  if (value === null) return unreadable("the record has no value");
  const text = value.toString("utf8");
  // Decoding puts U+FFFD in place of what is not UTF-8; only where one stands need the bytes be looked at again.
  if (text.includes("\uFFFD") && !isUtf8(value))
    return unreadable("the record's value is not UTF-8");
  return (key === null ? null : readOwnForm(text, key)) ?? readAnyForm(text);
}

const unreadable = (detail: string): BrokenEnvelope => ({
  ...fault("parse_error", detail),
  tenant: null,
  deviceId: null,
  topic: null,
  payload: NO_PAYLOAD,
});

const HEAD = '{"device_id":"';
const AFTER_ID = '","payload":';
const TAIL = ',"timestamp":';

/** The form that our bridge writes for JSON payloads; null for any other. */
export function readOwnForm(text: string, key: string): Envelope | null {
  const slash = key.indexOf("/");
  const deviceId = slash === -1 ? key : key.slice(slash + 1);
  const idEnd = HEAD.length + deviceId.length;
  if (
    !text.startsWith(HEAD) ||
    !text.startsWith(deviceId, HEAD.length) ||
    !text.startsWith(AFTER_ID, idEnd) ||
    !isSegment(deviceId)
  )
    return null;
  const start = idEnd + AFTER_ID.length;
  const end = text.lastIndexOf(TAIL);
  if (end < start) return null;
  const tail = readTail(text, end);
  if (tail === null || address(tail.tenant, deviceId) !== key) return null;
  const payloadText = text.slice(start, end);
  try {
    return {
      kind: tail.kind,
      tenant: tail.tenant,
      deviceId,
      address: key,
      site: tail.site,
      arrivalUs: tail.arrivalUs,
      payload: {
        form: "json",
        text: payloadText,
        value: JSON.parse(payloadText),
      },
    };
  } catch {
    // Not JSON between head and tail, as when members stand in another order: the general reader decides.
    return null;
  }
}

type Tail = Pick<Envelope, "kind" | "tenant" | "site" | "arrivalUs">;

/** `,"timestamp":…}`, with tenant, site and kind or without; null when anything else is in it. */
function readTail(text: string, at: number): Tail | null {
  const arrivalUs = plainSeconds(text, at + TAIL.length);
  if (arrivalUs >= 0)
    return { kind: "data", tenant: DEFAULT_TENANT, site: null, arrivalUs };
  let fields: unknown;
  try {
    fields = JSON.parse(`{${text.slice(at + 1)}`);
  } catch {
    return null;
  }
  const {
    timestamp,
    tenant = DEFAULT_TENANT,
    site = null,
    kind = "data",
    ...others
  } = fields as Record<string, unknown>;
  if (
    typeof timestamp !== "number" ||
    typeof tenant !== "string" ||
    (typeof site !== "string" && site !== null) ||
    !KINDS.has(kind) ||
    kind === "bad_topic" ||
    Object.keys(others).length > 0 ||
    !isSegment(tenant) ||
    (site !== null && !isSegment(site))
  )
    return null;
  return {
    kind: kind as Envelope["kind"],
    tenant,
    site,
    arrivalUs: parseSeconds(timestamp),
  };
}

/** Seconds with at most six places, then `}` and the end, as microseconds; −1 for anything else. */
function plainSeconds(text: string, from: number): number {
  let at = from;
  let whole = 0;
  let code = text.charCodeAt(at);
  for (; code >= 0x30 && code <= 0x39; code = text.charCodeAt(++at))
    whole = whole * 10 + (code - 0x30);
  // Up to 2^32 s parseSeconds gives the same; a leading zero is no JSON number but for 0 itself.
  if (at === from || whole >= 2 ** 32 || text.charCodeAt(from) === 0x30)
    return -1;
  let micros = 0;
  if (code === 0x2e) {
    const point = at++;
    let scale = 100_000;
    code = text.charCodeAt(at);
    for (; code >= 0x30 && code <= 0x39; code = text.charCodeAt(++at)) {
      micros += (code - 0x30) * scale;
      scale /= 10;
    }
    if (at - point < 2 || at - point > 7) return -1;
  }
  return code === 0x7d && at === text.length - 1
    ? whole * 1_000_000 + micros
    : -1;
}

/** Any envelope, whoever wrote it. Members that are null count as not given. */
export function readAnyForm(text: string): Envelope | BrokenEnvelope {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch (error) {
    return unreadable(`the record's value is not JSON: ${reasonOf(error)}`);
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    return {
      ...unreadable(""),
      ...invalid(
        `the record's value: expected an object, got ${shown(fields)}`,
      ),
    };
  const envelope = fields as Readonly<Record<string, unknown>>;
  const kind = envelope["kind"] ?? "data";
  const tenant = envelope["tenant"] ?? DEFAULT_TENANT;
  const site = envelope["site"] ?? null;
  const deviceId = envelope["device_id"];
  const topic = envelope["topic"];
  const payload = readPayload(envelope, text);

  const broken = (wrong: Fault): BrokenEnvelope => ({
    reason: wrong.reason,
    detail: wrong.detail,
    tenant: isName(tenant) ? tenant : null,
    deviceId: isName(deviceId) ? deviceId : null,
    topic: null,
    payload: isFault(payload) ? NO_PAYLOAD : payload,
  });
  if (kind === "bad_topic")
    return typeof topic === "string"
      ? {
          ...broken(
            fault("bad_topic", `the MQTT topic is not of a known form`),
          ),
          tenant: null,
          deviceId: null,
          topic,
        }
      : broken(invalid(`topic: expected a string, got ${shown(topic)}`));
  if (!KINDS.has(kind)) return broken(invalid(`kind: ${shown(kind)} is none`));
  if (!isName(deviceId)) return broken(notASegment("device_id", deviceId));
  if (!isName(tenant)) return broken(notASegment("tenant", tenant));
  if (site !== null && !isName(site)) return broken(notASegment("site", site));
  if (typeof envelope["timestamp"] !== "number")
    return broken(
      invalid(
        `timestamp: expected Unix seconds, got ${shown(envelope["timestamp"])}`,
      ),
    );
  if (isFault(payload)) return broken(payload);
  return {
    kind: kind as Envelope["kind"],
    tenant,
    deviceId,
    address: address(tenant, deviceId),
    site,
    arrivalUs: parseSeconds(envelope["timestamp"]),
    payload,
  };
}

const isName = (value: unknown): value is string =>
  typeof value === "string" && isSegment(value);

const notASegment = (field: string, value: unknown): Fault =>
  invalid(
    `${field}: expected 1 to 128 characters of [A-Za-z0-9._:-], got ${shown(value)}`,
  );
