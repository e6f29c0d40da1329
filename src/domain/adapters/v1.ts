/**
 * Schema v1, the normalised form:
 * {"schema":"v1","ts":"2025-10-07T15:30:00Z","points":[{"name":"temp","t":"float","v":7.3,"u":"°C"}],"meta":{"fw":"1.2.3"}}
 *
 * The checker runs for every message, so it only says yes or no; why not is worked out by `explain` once it said no.
 */
import { type Fault, invalid, shown } from "../fault.js";
import type { Point } from "../message.js";
import {
  type Adapted,
  type Adapter,
  badCount,
  badName,
  isPointName,
  type JsonObject,
  MAX_POINTS,
  pointOf,
} from "./adapter.js";

export const v1: Adapter = {
  name: "v1",
  version: 1,
  title: "schema v1, the normalised form",
  adapt,
};

/** A point as a device may have written it. */
interface Loose {
  readonly name?: unknown;
  readonly t?: unknown;
  readonly v?: unknown;
  readonly u?: unknown;
}

function adapt(payload: JsonObject): Adapted | Fault {
  const { ts, meta } = payload;
  if (ts === undefined || ts === null)
    return invalid("ts: expected a time, got nothing");
  if (!isMeta(meta))
    return invalid(`meta: expected an object, got ${shown(meta)}`);
  const points = readPoints(payload["points"]);
  return points === null
    ? explainPoints(payload["points"])
    : { timeField: "ts", points, meta: meta ?? null };
}

const isMeta = (meta: unknown): meta is JsonObject | null | undefined =>
  meta === undefined || (typeof meta === "object" && !Array.isArray(meta));

/** The points of a v1 list, also as bulk notes have them; null when one is not as it should be (`explainPoints` says which). */
export function readPoints(list: unknown): Point[] | null {
  if (!Array.isArray(list)) return null;
  const count = list.length;
  if (count === 0 || count > MAX_POINTS) return null;
  const points: Point[] = [];
  for (let i = 0; i < count; i++) {
    const point = readPoint(list[i], i);
    if (point === null) return null;
    points.push(point);
  }
  return points;
}

function readPoint(given: unknown, item: number): Point | null {
  if (typeof given !== "object" || given === null) return null;
  const { name, t, v, u } = given as Loose;
  if (typeof name !== "string" || !isPointName(name)) return null;
  if (u !== undefined && u !== null && typeof u !== "string") return null;
  const unit = u ?? null;
  switch (t) {
    case "float":
    case "num":
      return typeof v === "number" && Number.isFinite(v)
        ? { name, type: t, typeClass: "num", value: v, text: null, unit, item }
        : null;
    case "int":
      return typeof v === "number" && Number.isInteger(v)
        ? { name, type: t, typeClass: "num", value: v, text: null, unit, item }
        : null;
    case "bool":
    case "enum":
    case "text":
    case "string":
      return typeof v === (t === "bool" ? "boolean" : "string")
        ? pointOf(name, t, v as boolean | string, unit, item)
        : null;
    default:
      return null;
  }
}

const EXPECTED: Readonly<Record<string, string>> = {
  float: "a finite number",
  num: "a finite number",
  int: "a whole number",
  bool: "true or false",
  enum: "a string",
  text: "a string",
  string: "a string",
};

/** Why `readPoints` refused the list. */
export function explainPoints(list: unknown): Fault {
  if (!Array.isArray(list))
    return invalid(`points: expected an array, got ${shown(list)}`);
  if (list.length === 0 || list.length > MAX_POINTS)
    return badCount("points", list.length);
  const bad = list.findIndex((given, item) => readPoint(given, item) === null);
  const path = `points[${bad}]`;
  const given: unknown = list[bad];
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return invalid(`${path}: expected an object, got ${shown(given)}`);
  const { name, t, v, u } = given as Loose;
  if (typeof name !== "string" || !isPointName(name))
    return badName(`${path}.name`, name);
  if (u !== undefined && u !== null && typeof u !== "string")
    return invalid(`${path}.u: expected a string, got ${shown(u)}`);
  if (typeof t !== "string" || !Object.hasOwn(EXPECTED, t))
    return invalid(
      `${path}.t: expected one of ${Object.keys(EXPECTED).join(" ")}, got ${shown(t)}`,
    );
  return invalid(
    `${path}.v: expected ${EXPECTED[t]} for t "${t}", got ${shown(v)}`,
  );
}
