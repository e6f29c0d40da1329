/**
 * The value of a record of `iot-data`: written by the bridge, and by whoever else writes there; read by the processor in
 * `envelope-reader.ts`. The device's own bytes stand in it unchanged:
 *
 *   {"device_id":"dev-1","payload":<the device's JSON>,"timestamp":1763600000.123,"tenant":"acme","site":"hq","kind":"ack"}
 *
 * tenant, site and kind only where they are not the default. In place of `payload`: `payload_base64` for bytes that are not
 * JSON, `too_large` for what does not fit. In place of `device_id`: `topic` where the MQTT topic could not be read.
 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { DataMessage } from "./message.js";
import { DEFAULT_TENANT, type DeviceName, type EnvelopeKind } from "./names.js";
import { toSeconds } from "./time.js";

/** `max.message.bytes` of `iot-data` is 4 MiB; 128 KiB of it are left to key (an MQTT topic at worst), headers and framing. */
export const MAX_ENVELOPE_BYTES = (4096 - 128) * 1024;
/** What is kept of a payload that does not fit. */
const HEAD_BYTES = 64 * 1024;

/** What the bridge heard from a device. */
export interface Arrival extends DeviceName {
  readonly kind: EnvelopeKind;
  /** As it came. */
  readonly payload: Buffer;
  /** Unix milliseconds. */
  readonly arrivalMs: number;
}

/** The envelope of a device's message. `maxBytes` bounds it, except that the head of a too large payload always fits. */
export function encodeEnvelope(
  arrival: Arrival,
  maxBytes = MAX_ENVELOPE_BYTES,
): Buffer {
  return encode(
    `{"device_id":"${arrival.deviceId}"`,
    arrival.payload,
    `,"timestamp":${toSeconds(arrival.arrivalMs * 1000)}${nameTail(arrival)}${kindTail(arrival.kind)}}`,
    maxBytes,
  );
}

/** The envelope of a message whose MQTT topic is not of the known forms; its key is the topic. */
export function encodeBadTopic(
  arrival: { topic: string; payload: Buffer; arrivalMs: number },
  maxBytes = MAX_ENVELOPE_BYTES,
): Buffer {
  return encode(
    `{"topic":${JSON.stringify(arrival.topic)}`,
    arrival.payload,
    `,"timestamp":${toSeconds(arrival.arrivalMs * 1000)}${kindTail("bad_topic")}}`,
    maxBytes,
  );
}

/**
 * "The full message" of the contracts for Redis: the same text however often the message arrives, since its `timestamp` is
 * the reading's time.
 */
export const fullMessage = (
  message: Pick<
    DataMessage,
    "deviceId" | "tenant" | "site" | "payload" | "timeUs"
  >,
): string =>
  `{"device_id":"${message.deviceId}","payload":${message.payload},"timestamp":${toSeconds(message.timeUs)}${nameTail(message)}}`;

// Segments need no escaping: their alphabet has neither quote nor backslash.
const nameTail = (name: DeviceName): string =>
  (name.tenant === DEFAULT_TENANT ? "" : `,"tenant":"${name.tenant}"`) +
  (name.site === null ? "" : `,"site":"${name.site}"`);
const kindTail = (kind: EnvelopeKind): string =>
  kind === "data" ? "" : `,"kind":"${kind}"`;

function encode(
  head: string,
  payload: Buffer,
  tail: string,
  maxBytes: number,
): Buffer {
  if (isJson(payload)) {
    const whole = spliced(`${head},"payload":`, payload, tail, maxBytes);
    if (whole !== null) return whole;
  } else if ((payload.length / 3) * 4 <= maxBytes) {
    const whole = Buffer.from(
      `${head},"payload_base64":"${payload.toString("base64")}"${tail}`,
    );
    if (whole.length <= maxBytes) return whole;
  }
  const facts = JSON.stringify({
    size: payload.length,
    sha256: createHash("sha256").update(payload).digest("hex"),
    head_base64: payload.subarray(0, HEAD_BYTES).toString("base64"),
  });
  return Buffer.from(`${head},"too_large":${facts}${tail}`);
}

/** Copies each part once into a buffer of the right size; null when that is above `maxBytes`. */
function spliced(
  head: string,
  payload: Buffer,
  tail: string,
  maxBytes: number,
): Buffer | null {
  const headBytes = Buffer.byteLength(head);
  const size = headBytes + payload.length + tail.length;
  if (size > maxBytes) return null;
  const whole = Buffer.allocUnsafe(size);
  whole.write(head, 0, "utf8");
  payload.copy(whole, headBytes);
  whole.write(tail, headBytes + payload.length, "latin1");
  return whole;
}

function isJson(bytes: Buffer): boolean {
  if (bytes.length === 0 || !isUtf8(bytes)) return false;
  try {
    JSON.parse(bytes.toString("utf8"));
    return true;
  } catch {
    // Not a failure: such bytes travel as base64, and the processor says what is wrong with them.
    return false;
  }
}
