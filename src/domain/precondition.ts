/**
 * A command's condition on its device's last state, such as `{"point":"status","op":"eq","value":"STOP"}`: the newest stored
 * value of that point, judged just before the command is sent. What cannot be compared does not hold.
 */
import { type Fault, invalid, shown } from "./fault.js";

/** How a point's value is compared: eq and ne take any value, the others numbers. */
export const COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"] as const;
/** As a point's name may be long (contracts, 1.1), and a value that is compared with it. */
export const POINT_CHARACTERS = 128;
export const VALUE_CHARACTERS = 1024;

export type Comparison = (typeof COMPARISONS)[number];
export type Comparable = number | boolean | string;

export interface Precondition {
  readonly point: string;
  readonly op: Comparison;
  readonly value: Comparable;
}

export function readPrecondition(given: unknown): Precondition | Fault {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return invalid(`precondition: expected an object, got ${shown(given)}`);
  const { point, op, value, ...others } = given as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined)
    return invalid(`precondition.${other}: there is no such condition`);
  if (
    typeof point !== "string" ||
    point === "" ||
    point.length > POINT_CHARACTERS
  )
    return invalid(
      `precondition.point: expected a point's name of 1 to ${POINT_CHARACTERS} characters, got ${shown(point)}`,
    );
  if (!isComparison(op))
    return invalid(
      `precondition.op: expected one of ${COMPARISONS.join(", ")}, got ${shown(op)}`,
    );
  if (!isComparable(value))
    return invalid(
      `precondition.value: expected a number, true, false or a text of at most ${VALUE_CHARACTERS} characters, got ${shown(value)}`,
    );
  if (op !== "eq" && op !== "ne" && typeof value !== "number")
    return invalid(
      `precondition.value: expected a number, since op is ${op}, got ${shown(value)}`,
    );
  return { point, op, value };
}

const isComparison = (op: unknown): op is Comparison =>
  COMPARISONS.some((one) => one === op);

const isComparable = (value: unknown): value is Comparable =>
  typeof value === "boolean" ||
  (typeof value === "number" && Number.isFinite(value)) ||
  (typeof value === "string" && value.length <= VALUE_CHARACTERS);

/** @param newest the device's newest values as a v1 message's JSON (`TelemetryStore.newest`); null when it has none. */
export function judgePrecondition(
  { point, op, value }: Precondition,
  newest: string | null,
): { readonly holds: boolean; readonly evidence: string } {
  const wanted = `wanted ${op} ${shown(value)}`;
  const fails = (why: string) => ({
    holds: false,
    evidence: `precondition: ${why}, ${wanted}`,
  });
  if (newest === null) return fails("the device has no last state");
  const { points } = JSON.parse(newest) as {
    points: { name: string; v: Comparable | null }[];
  };
  const seen = points.filter(({ name, v }) => name === point && v !== null);
  // A point that has changed its type is several sensors; the one that can be compared counts.
  const like = seen.find(({ v }) => typeof v === typeof value) ?? seen[0];
  if (like === undefined) return fails(`${shown(point)} has no value`);
  const is = `${shown(point)} is ${shown(like.v)}`;
  if (typeof like.v !== typeof value) return fails(is);
  return compare(like.v!, op, value)
    ? { holds: true, evidence: `precondition: ${is}, ${wanted}` }
    : fails(is);
}

function compare(a: Comparable, op: Comparison, b: Comparable): boolean {
  switch (op) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "lt":
      return a < b;
    case "le":
      return a <= b;
    case "gt":
      return a > b;
    case "ge":
      return a >= b;
  }
}
