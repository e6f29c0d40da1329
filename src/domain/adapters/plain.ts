/**
 * A JSON object without `schema`, as small sensors send it: every number, boolean and string in it becomes a point named by
 * its dotted path (an array's members by their index); null says nothing. The first of `timestamp`, `ts`, `time` at the top
 * level is the reading's time and no point; without one the arrival counts.
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
  MAX_NAME_UNITS,
  MAX_POINTS,
  pointOf,
} from "./adapter.js";

export const plain: Adapter = {
  name: "plain",
  version: 1,
  title: "any JSON object: a point for each leaf",
  adapt,
};

/** In the order of preference. */
export const TIME_FIELDS = ["timestamp", "ts", "time"] as const;

/** Which member of a payload that follows no schema is its time; null when it has none. */
export const timeFieldOf = (payload: JsonObject): string | null =>
  TIME_FIELDS.find((it) => payload[it] !== undefined && payload[it] !== null) ??
  null;

/** An object or array that is being walked through. */
interface Level {
  /** "" at the top, else the path with its closing dot. */
  readonly prefix: string;
  readonly keys: readonly string[];
  readonly values: JsonObject;
  next: number;
}

const level = (prefix: string, values: object): Level => ({
  prefix,
  keys: Object.keys(values),
  values: values as JsonObject,
  next: 0,
});

function adapt(payload: JsonObject): Adapted | Fault {
  const timeField = timeFieldOf(payload);
  const points: Point[] = [];
  // Levels of our own in place of recursion: nesting is bounded only by the size of a message.
  const open: Level[] = [level("", payload)];
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const key = top.keys[top.next++];
    if (key === undefined) {
      open.pop();
      continue;
    }
    const value = top.values[key];
    if (value === null || (open.length === 1 && key === timeField)) continue;
    if (typeof value === "object") {
      // Nothing below could have a name any more; without this bound a nest of brackets would cost 100 times its size.
      if (top.prefix.length > MAX_NAME_UNITS)
        return badName(shown(top.prefix), top.prefix);
      open.push(level(`${top.prefix}${key}.`, value as object));
      continue;
    }
    const name = top.prefix + key;
    if (!isPointName(name)) return badName(shown(name), name);
    if (points.length === MAX_POINTS)
      return badCount("payload", MAX_POINTS + 1);
    if (typeof value === "number") {
      if (!Number.isFinite(value))
        return invalid(`${name}: expected a finite number, got ${value}`);
      points.push(pointOf(name, "num", value, null, points.length));
    } else if (typeof value === "boolean")
      points.push(pointOf(name, "bool", value, null, points.length));
    else
      points.push(
        pointOf(name, "string", value as string, null, points.length),
      );
  }
  return points.length === 0
    ? badCount("payload", 0)
    : { timeField, points, meta: null };
}
