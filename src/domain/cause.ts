/**
 * What a thousand dead letters have in common: reason, adapter, firmware, and the detail without what differs from message
 * to message. Letters of one cause have one fingerprint, so that an operator sees causes and not messages.
 */
import { hash } from "node:crypto";
import type { DeadLetter } from "./message.js";

export interface Cause {
  /** 12 hex digits. */
  readonly fingerprint: string;
  /** The detail with indexes, quoted values, times and numbers taken out. */
  readonly cause: string;
  /** The schema that the payload names; null where none can be read. */
  readonly adapter: string | null;
  /** As the payload says (`meta.fw`, or `fw` at the top); null where it says nothing. */
  readonly firmware: string | null;
}

const CAUSE_UNITS = 200;
/** Of a schema's or a firmware's name. */
const NAME_UNITS = 64;
/** Larger payloads are not parsed again just to be sorted. */
const PARSE_BYTES = 64 * 1024;
const GAP = "…";

/** In this order: a number within quotes goes with them. */
const DIFFERING: readonly (readonly [RegExp, string])[] = [
  // The parser quotes the text around the place, and says the place.
  [/not JSON: .*/s, "not JSON"],
  [/"(?:[^"\\]|\\.)*"…?/g, GAP],
  [/(?<!\w)'[^']*'(?!\w)/g, GAP],
  [/\[\d+\]/g, "[]"],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z?/g, GAP],
  [/\b[0-9a-f]{16,}\b/g, GAP],
  // Not the digit of `v1` or of a point's name.
  [/(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)/gi, GAP],
];

export function causeOf(
  letter: Pick<
    DeadLetter,
    "reason" | "detail" | "deviceId" | "payload" | "item"
  >,
): Cause {
  const cause = common(letter.detail, letter.deviceId);
  // The letter of a point holds that reading alone.
  const { adapter, firmware } =
    letter.item < 0 ? describe(letter.payload) : NOTHING;
  const facts = JSON.stringify([letter.reason, adapter, firmware, cause]);
  return {
    fingerprint: hash("sha256", facts, "hex").slice(0, 12),
    cause,
    adapter,
    firmware,
  };
}

function common(detail: string, deviceId: string | null): string {
  let text = detail;
  // A shorter id may be a word of the sentence.
  if (deviceId !== null && deviceId.length > 2)
    text = text
      .split(/([A-Za-z0-9._:/-]+)/)
      .map((part) =>
        part === deviceId || part.endsWith(`/${deviceId}`) ? GAP : part,
      )
      .join("");
  for (const [differing, instead] of DIFFERING)
    text = text.replace(differing, instead);
  return text.slice(0, CAUSE_UNITS);
}

const NOTHING = { adapter: null, firmware: null };

function describe(payload: Buffer): Pick<Cause, "adapter" | "firmware"> {
  if (payload.length > PARSE_BYTES || payload[0] !== 0x7b) return NOTHING;
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(payload.toString("utf8")) as typeof fields;
  } catch {
    return NOTHING; // That is what it is a dead letter for.
  }
  const meta = fields["meta"];
  const told =
    typeof meta === "object" && meta !== null && "fw" in meta
      ? meta.fw
      : undefined;
  return {
    adapter: nameIn(fields["schema"] ?? fields["SCHEMA"]),
    firmware: nameIn(told ?? fields["fw"] ?? fields["FW"]),
  };
}

const nameIn = (value: unknown): string | null =>
  typeof value === "string" ? value.slice(0, NAME_UNITS) : null;
