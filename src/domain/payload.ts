/** What an envelope carries, read from whichever of its members holds it. */
import { isUtf8 } from "node:buffer";
import { reasonOf } from "../errors.js";
import { type Fault, fault, invalid, shown } from "./fault.js";
import { memberText } from "./json-text.js";

export type Payload =
  /** The device's JSON, as it wrote it and as a value. */
  | { readonly form: "json"; readonly text: string; readonly value: unknown }
  /** Bytes that are not JSON, and why. */
  | { readonly form: "bytes"; readonly bytes: Buffer; readonly fault: Fault }
  /** The head of what did not fit. */
  | { readonly form: "cut"; readonly bytes: Buffer; readonly fault: Fault }
  | { readonly form: "none" };

export const NO_PAYLOAD: Payload = { form: "none" };

/** @param text the JSON text that `envelope` was parsed from. */
export function readPayload(
  envelope: Readonly<Record<string, unknown>>,
  text: string,
): Payload | Fault {
  const { payload, payload_base64: base64, too_large: tooLarge } = envelope;
  const given = [payload, base64, tooLarge].filter((it) => it !== undefined);
  if (given.length > 1)
    return invalid("payload, payload_base64 and too_large exclude one another");
  if (payload !== undefined)
    return {
      form: "json",
      text: memberText(text, "payload") ?? "",
      value: payload,
    };
  if (base64 !== undefined)
    return typeof base64 === "string"
      ? readBytes(Buffer.from(base64, "base64"))
      : invalid(`payload_base64: expected a string, got ${shown(base64)}`);
  if (tooLarge !== undefined) return readTooLarge(tooLarge);
  return NO_PAYLOAD;
}

/** Bytes that travelled as base64: JSON after all when whoever sent them did not look. */
function readBytes(bytes: Buffer): Payload {
  if (!isUtf8(bytes))
    return {
      form: "bytes",
      bytes,
      fault: fault("parse_error", "payload: not UTF-8"),
    };
  const text = bytes.toString("utf8");
  try {
    return { form: "json", text, value: JSON.parse(text) };
  } catch (error) {
    return {
      form: "bytes",
      bytes,
      fault: fault("parse_error", `payload: not JSON: ${reasonOf(error)}`),
    };
  }
}

function readTooLarge(value: unknown): Payload | Fault {
  const {
    size,
    sha256,
    head_base64: head,
  } = (value ?? {}) as Record<string, unknown>;
  if (
    typeof size !== "number" ||
    typeof sha256 !== "string" ||
    typeof head !== "string"
  )
    return invalid(
      `too_large: expected {"size","sha256","head_base64"}, got ${shown(value)}`,
    );
  const bytes = Buffer.from(head, "base64");
  return {
    form: "cut",
    bytes,
    fault: fault(
      "too_large",
      `payload: ${size} bytes, sha256 ${sha256}; its first ${bytes.length} bytes are kept`,
    ),
  };
}
