/**
 * What is wrong with an input, said as a value: decoding throws nothing, it answers the thing or its fault.
 */
import type { DeadLetterReason } from "../errors.js";

export interface Fault {
  readonly reason: DeadLetterReason;
  /** The path and the rule in words: `points[3].v: expected a number for t "float", got a string`. */
  readonly detail: string;
}

export const fault = (reason: DeadLetterReason, detail: string): Fault => ({
  reason,
  detail,
});

export const invalid = (detail: string): Fault =>
  fault("invalid_schema", detail);

/** Tells a fault (or a dead letter, which has a reason too) from what was asked for. */
export const isFault = <T extends object>(
  outcome: T | Fault,
): outcome is Fault => "reason" in outcome;

/** A JSON value in a few words, fit for a detail: strings quoted, escaped and cut at 40 characters. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "number") return String(value);
  if (typeof value !== "string")
    return typeof value === "boolean" ? String(value) : "an object";
  return value.length <= 40
    ? JSON.stringify(value)
    : `${JSON.stringify(value.slice(0, 40))}…`;
}

// Cs under the u flag matches only surrogates without their other half.
const UNSTORABLE = /[\p{Cc}\p{Cs}]/gu;

/** Text as a log header or a text column may hold it: control characters and lone surrogates become U+FFFD. */
export const storable = (text: string): string =>
  text.replace(UNSTORABLE, "\uFFFD");
