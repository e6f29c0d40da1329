/**
 * Tasmota's telemetry: one object a sensor, as SENSOR, STATE and ENERGY reports nest them:
 * {"Time":"2026-01-15T10:00:00","DS18B20":{"Id":"0113","Temperature":21.4},"TempUnit":"C"}
 *
 * Points are named by their dotted paths, as of a plain object, with these differences: `Time` is the reading's time (a device
 * writes its local time without a zone: it is taken as UTC, so its clock should be set to UTC); units come from TempUnit,
 * PressureUnit and SpeedUnit, or from what Tasmota always measures in; relays and switches are booleans; durations such as
 * 0T05:13:24 are seconds; what names a device or a network is meta, and the firmware's version is meta `fw`.
 */
import { type Fault, isFault } from "../fault.js";
import type { Point } from "../message.js";
import {
  type Adapted,
  type Adapter,
  badCount,
  type JsonObject,
  pointOf,
} from "./adapter.js";
import { plain } from "./plain.js";

export const tasmota: Adapter = {
  name: "tasmota",
  version: 1,
  title: "Tasmota SENSOR, STATE and ENERGY reports",
  adapt,
};

const TIME_FIELD = "Time";
/** Top-level members that say how to read the others. */
const FRAME: ReadonlySet<string> = new Set([
  TIME_FIELD,
  "TempUnit",
  "PressureUnit",
  "SpeedUnit",
  "schema",
  "SCHEMA",
]);
/** Last parts of the paths of what describes the device. */
const DESCRIBES: ReadonlySet<string> = new Set([
  "Id",
  "SSId",
  "BSSId",
  "TotalStartTime",
]);

/** By path, else by its last part; those that the payload names are not here. */
const UNITS: ReadonlyMap<string, string> = new Map([
  ["Humidity", "%"],
  ["Illuminance", "lx"],
  ["CarbonDioxide", "ppm"],
  ["eCO2", "ppm"],
  ["TVOC", "ppb"],
  ["Distance", "cm"],
  ["ENERGY.Total", "kWh"],
  ["ENERGY.Today", "kWh"],
  ["ENERGY.Yesterday", "kWh"],
  ["ENERGY.Period", "Wh"],
  ["ENERGY.Power", "W"],
  ["ENERGY.ApparentPower", "VA"],
  ["ENERGY.ReactivePower", "var"],
  ["ENERGY.Voltage", "V"],
  ["ENERGY.Current", "A"],
  ["ENERGY.Frequency", "Hz"],
  // A quality from 0 to 100; the field strength is Signal.
  ["Wifi.RSSI", "%"],
  ["Wifi.Signal", "dBm"],
  ["UptimeSec", "s"],
]);
/** Which of the payload's units measures what. */
const UNIT_FIELDS: ReadonlyMap<string, string> = new Map([
  ["Temperature", "TempUnit"],
  ["DewPoint", "TempUnit"],
  ["Pressure", "PressureUnit"],
  ["SeaPressure", "PressureUnit"],
  ["Speed", "SpeedUnit"],
]);
const DEGREES: ReadonlyMap<unknown, string> = new Map([
  ["C", "°C"],
  ["F", "°F"],
]);

/** POWER, POWER1 …, Switch1 …: the only members whose ON and OFF are states. */
const SWITCHES = /^(?:POWER\d*|Switch\d*)$/;
/** Days, hours, minutes, seconds. */
const DURATION = /^(\d{1,6})T(\d\d):(\d\d):(\d\d)$/;
/** Meters of several phases or channels give an array; its members are measured alike. */
const INDEX = /\.\d+$/;

function adapt(payload: JsonObject): Adapted | Fault {
  const leaves = plain.adapt(payload);
  if (isFault(leaves)) return leaves;
  const points: Point[] = [];
  const meta: Record<string, unknown> = {};
  for (const leaf of leaves.points) {
    const path = leaf.name.replace(INDEX, "");
    const measure = path.slice(path.lastIndexOf(".") + 1);
    if (FRAME.has(leaf.name)) continue;
    if (DESCRIBES.has(measure)) meta[leaf.name] = leaf.text ?? leaf.value;
    else if (measure === "Version") meta["fw"] = leaf.text ?? leaf.value;
    else points.push(pointFrom(leaf, path, measure, payload, points.length));
  }
  if (points.length === 0) return badCount("payload", 0);
  const time = payload[TIME_FIELD] ?? null;
  return {
    timeField: time === null ? null : TIME_FIELD,
    points,
    meta: { ...meta, src: tasmota.name },
  };
}

function pointFrom(
  leaf: Point,
  path: string,
  measure: string,
  payload: JsonObject,
  item: number,
): Point {
  const { name, text } = leaf;
  if (text === null)
    return { ...leaf, unit: unitOf(path, measure, payload), item };
  if (SWITCHES.test(measure) && (text === "ON" || text === "OFF"))
    return pointOf(name, "bool", text === "ON", null, item);
  const duration = DURATION.exec(text);
  if (duration === null) return { ...leaf, item };
  const [days, hours, minutes, seconds] = duration.slice(1).map(Number);
  return pointOf(
    name,
    "num",
    ((days! * 24 + hours!) * 60 + minutes!) * 60 + seconds!,
    "s",
    item,
  );
}

function unitOf(
  path: string,
  measure: string,
  payload: JsonObject,
): string | null {
  const field = UNIT_FIELDS.get(measure);
  if (field === undefined) return UNITS.get(path) ?? UNITS.get(measure) ?? null;
  const given = payload[field];
  return DEGREES.get(given) ?? (typeof given === "string" ? given : null);
}
