/**
 * A message's points, for the two payloads that say them themselves: the schema v1, and plain JSON objects, whose leaves are
 * points. What a vendor's payload means only the server's adapters know: null, and the page asks the server. Pure.
 */

export interface Point {
  readonly name: string;
  readonly value: number | boolean | string;
  readonly unit: string | null;
}

/** Keys that hold a plain message's time and are no points. */
const TIMES = new Set(["timestamp", "ts", "time"]);
const DEEPEST = 32;

export function pointsOf(payload: unknown): Point[] | null {
  if (!isObject(payload)) return null;
  if (payload["schema"] === undefined) {
    const found: Point[] = [];
    collect(payload, "", 0, found);
    return found;
  }
  if (payload["schema"] !== "v1" || !Array.isArray(payload["points"]))
    return null;
  return payload["points"].flatMap((given: unknown): Point[] => {
    if (!isObject(given) || typeof given["name"] !== "string") return [];
    const { v, u } = given;
    if (!isValue(v)) return [];
    return [
      { name: given["name"], value: v, unit: typeof u === "string" ? u : null },
    ];
  });
}

function collect(
  object: Readonly<Record<string, unknown>>,
  prefix: string,
  depth: number,
  found: Point[],
): void {
  for (const [key, value] of Object.entries(object)) {
    if (depth === 0 && TIMES.has(key)) continue;
    const name = prefix === "" ? key : `${prefix}.${key}`;
    if (isValue(value)) found.push({ name, value, unit: null });
    else if (isObject(value) && depth < DEEPEST)
      collect(value, name, depth + 1, found);
  }
}

const isValue = (value: unknown): value is number | boolean | string =>
  typeof value === "number" ||
  typeof value === "boolean" ||
  typeof value === "string";

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
