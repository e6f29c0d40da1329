/**
 * Parsec inverter:
 * {"schema":"parsec_v1","ts":"2025-10-08T01:00:00Z","di1":1,"di2":0,"rssi":-67,"fw":"1.2.3"}, keys in either case.
 * di1 is the run contact, di2 the fault contact.
 */
import { type Fault, invalid, shown } from "../fault.js";
import {
  type Adapted,
  type Adapter,
  type JsonObject,
  pointOf,
} from "./adapter.js";

export const parsecV1: Adapter = {
  name: "parsec_v1",
  version: 1,
  title: "Parsec inverters",
  adapt,
};

function adapt(payload: JsonObject): Adapted | Fault {
  const field = (name: string): string =>
    payload[name] === undefined ? name.toUpperCase() : name;
  const timeField = field("ts");
  const ts = payload[timeField];
  if (ts === undefined || ts === null)
    return invalid("ts: expected a time, got nothing");
  const rssi = payload[field("rssi")] ?? null;
  if (rssi !== null && !(typeof rssi === "number" && Number.isFinite(rssi)))
    return invalid(`rssi: expected a finite number, got ${shown(rssi)}`);

  const running = payload[field("di1")] === 1;
  const faulty = payload[field("di2")] === 1;
  const points = [
    pointOf("status", "enum", running ? "RUN" : "STOP", null, 0),
    pointOf("fault", "bool", faulty, null, 1),
  ];
  if (rssi !== null) points.push(pointOf("rssi", "num", rssi, "dBm", 2));
  const fw = payload[field("fw")];
  return {
    timeField,
    points,
    meta: { ...(fw === undefined ? {} : { fw }), src: "parsec_v1" },
  };
}
