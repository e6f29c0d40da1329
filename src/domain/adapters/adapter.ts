/**
 * What an adapter is: a pure function from a device's payload to points. One adapter is one file, its samples beside the tests,
 * and one line in `registry.ts`; deploy/adapters.md shows how.
 */
import type { Fault } from "../fault.js";
import { invalid, shown } from "../fault.js";
import type { Point, TypeClass } from "../message.js";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface Adapter {
  /** The value of the payload's `schema` field that chooses it. */
  readonly name: string;
  /** Raised whenever the same payload would give other points than before. */
  readonly version: number;
  /** Whose payloads it reads, in a few words. */
  readonly title: string;
  /** Never throws; what it cannot read is a fault. */
  readonly adapt: (payload: JsonObject) => Adapted | Fault;
}

export interface Adapted {
  /** Member of the payload that holds the reading's time; null when it has none and the arrival counts. */
  readonly timeField: string | null;
  /** 1 to MAX_POINTS, in the order of the payload. Names may repeat: the decoder lets the first count. */
  readonly points: readonly Point[];
  /** What describes the device rather than what it measured. */
  readonly meta: JsonObject | null;
}

export const MAX_POINTS = 1000;

/** Characters, that is code points, of a point's name at most. */
const MAX_NAME = 128;
/** Two UTF-16 units a code point at most: longer text need not be looked at. */
export const MAX_NAME_UNITS = MAX_NAME * 2;
const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,128}$/u;

/** 1 to 128 printable characters (no controls, format characters, lone surrogates or line separators). */
export function isPointName(name: string): boolean {
  const length = name.length;
  if (length === 0 || length > MAX_NAME_UNITS) return false;
  for (let i = 0; i < length; i++) {
    const code = name.charCodeAt(i);
    // Plain ASCII is decided here, about ten times as fast as the expression.
    if (code < 0x20 || code > 0x7e) return PRINTABLE.test(name);
  }
  return length <= MAX_NAME;
}

export const badName = (path: string, name: unknown): Fault =>
  invalid(
    `${path}: expected a name of 1 to ${MAX_NAME} printable characters, got ${shown(name)}`,
  );

export const badCount = (path: string, count: number): Fault =>
  invalid(
    count === 0
      ? `${path}: expected 1 to ${MAX_POINTS} points, got none`
      : `${path}: expected 1 to ${MAX_POINTS} points, got more`,
  );

/** One point; the type class follows from the value, which must already match the type. */
export function pointOf(
  name: string,
  type: string,
  value: number | boolean | string,
  unit: string | null,
  item: number,
): Point {
  const typeClass: TypeClass =
    typeof value === "number"
      ? "num"
      : typeof value === "boolean"
        ? "bool"
        : "text";
  return {
    name,
    type,
    typeClass,
    value: typeof value === "string" ? null : Number(value),
    text: typeof value === "string" ? value : null,
    unit,
    item,
  };
}
