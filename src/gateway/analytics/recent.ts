/**
 * What Redis has of a device's readings: rows reach it before they reach the database, a flush apart, or hours apart while
 * the database is away. Bulk notes are left out, since their rows were stored before the note was made.
 */
import { adapterFor } from "../../domain/adapters/registry.js";
import { isFault } from "../../domain/fault.js";
import { sortPoints } from "../../domain/points.js";
import { parseSeconds, toSeconds } from "../../domain/time.js";
import type { DeviceViewReader, Reading, SensorRecord } from "../../ports.js";
import { type HistoryPlace, readHistory } from "../history-page.js";
import type { RecentReadings } from "./seam.js";

/**
 * Readings held at most for one answer. Of more than that the oldest are let go: they are hours old, and the database, which
 * has just answered, has stored them.
 */
const MOST_READINGS = 200_000;
/** Messages read at a time. */
const MESSAGES_A_READ = 1000;

interface FullMessage {
  readonly payload: unknown;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** Readings of these sensors at or after `fromUs` and before `toUs`. */
export async function readRecent(
  view: Pick<DeviceViewReader, "history">,
  address: string,
  sensors: readonly SensorRecord[],
  fromUs: number,
  toUs: number,
): Promise<RecentReadings> {
  const idOf = new Map(
    sensors.map((sensor) => [`${sensor.typeClass} ${sensor.name}`, sensor.id]),
  );
  /** By time, then by sensor. */
  const found = new Map<number, Map<number, Reading>>();
  let held = 0;
  let place: HistoryPlace | null = { fromS: toSeconds(fromUs), skip: 0 };
  while (place !== null) {
    const page = await readHistory(
      view,
      address,
      place,
      toSeconds(toUs),
      MESSAGES_A_READ,
    );
    for (const text of page.messages) {
      const message = JSON.parse(text) as FullMessage;
      const timeUs = parseSeconds(message.timestamp);
      if (timeUs < fromUs || timeUs >= toUs) continue;
      for (const point of pointsOf(message.payload)) {
        const sensorId = idOf.get(`${point.typeClass} ${point.name}`);
        if (sensorId === undefined) continue;
        let at = found.get(timeUs);
        if (at === undefined) found.set(timeUs, (at = new Map()));
        // The first of an instant counts, as in the database.
        if (at.has(sensorId)) continue;
        const { value, text: words } = point;
        at.set(sensorId, { sensorId, timeUs, value, text: words });
        held += 1;
      }
    }
    for (const [timeUs, at] of found) {
      if (held <= MOST_READINGS) break;
      found.delete(timeUs);
      held -= at.size;
    }
    place = page.next;
  }
  return bySensor(found);
}

/** A message's points that would be stored, by the adapter that its payload names; none of what no adapter can read. */
export function pointsOf(payload: unknown) {
  if (typeof payload !== "object" || payload === null) return [];
  const object = payload as Record<string, unknown>;
  if (object["schema"] === "bulk_v1") return [];
  const adapter = adapterFor(object);
  if (isFault(adapter)) return [];
  const adapted = adapter.adapt(object);
  // What another version of this program took and this one does not: its rows are in the database.
  return isFault(adapted) ? [] : sortPoints(adapted.points).stored;
}

/** Redis answers by time, so each list is in order. */
function bySensor(
  found: ReadonlyMap<number, ReadonlyMap<number, Reading>>,
): RecentReadings {
  const lists = new Map<number, Reading[]>();
  for (const at of found.values())
    for (const reading of at.values()) {
      const list = lists.get(reading.sensorId);
      if (list === undefined) lists.set(reading.sensorId, [reading]);
      else list.push(reading);
    }
  return lists;
}
