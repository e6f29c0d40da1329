/**
 * What a device page knows of its device's sensors: figures of hours or days before, the readings of the last hours, and what
 * the live stream adds. One object for the length of a range; what it holds changes in place, `version` tells that it did.
 */
import type { Bucket, FullMessage, HistoryAnswer, Series } from "./answers.js";
import { ask } from "./api.js";
import { pointsOf } from "./payload-points.js";
import type { Range } from "./places.js";
import { append, emptyTrack, type Track, trackOf, trim } from "./series.js";

export interface Sensor {
  readonly name: string;
  readonly kind: Series["type_class"];
  unit: string | null;
  readonly track: Track;
  readonly buckets: readonly Bucket[];
}

export interface DeviceData {
  readonly sensors: Map<string, Sensor>;
  /** Seconds of a bucket; 0 where there are none. */
  readonly bucketS: number;
  readonly spanS: number;
  /** More readings than are shown were left unread. */
  readonly cut: boolean;
}

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
export const SPAN_S: Readonly<Record<Range, number>> = {
  "1h": HOUR_S,
  "5h": 5 * HOUR_S,
  "1d": DAY_S,
  "1w": 7 * DAY_S,
  "1M": 30 * DAY_S,
  "1y": 365 * DAY_S,
};
/** Up to here a range is told by readings alone; beyond, by figures, with the readings of the last hours behind them. */
const RAW_S = 5 * HOUR_S;
/** On a longer range the last hours are a few pixels. */
const JOINED_S = 7 * DAY_S;
const BY_DAY_S = 90 * DAY_S;
const ROWS_A_PAGE = 50_000;
/** Pages of readings at most; a device with more than these is too much for one screen. */
const MOST_PAGES = 6;

export async function readData(
  device: string,
  range: Range,
  signal: AbortSignal,
): Promise<DeviceData> {
  const spanS = SPAN_S[range];
  const nowS = Date.now() / 1000;
  const base = `/analytics/equipment/${encodeURIComponent(device)}/history`;
  const read = (fromS: number, resolution: "raw" | "hour" | "day") =>
    readPages(
      `${base}?from=${Math.floor(fromS)}&resolution=${resolution}&limit=${ROWS_A_PAGE}`,
      signal,
    );
  const level = spanS > BY_DAY_S ? "day" : "hour";
  const [old, recent] = await Promise.all([
    spanS > RAW_S ? read(nowS - spanS, level) : null,
    read(
      nowS - (spanS > JOINED_S ? HOUR_S / 12 : Math.min(spanS, RAW_S)),
      "raw",
    ),
  ]);
  const sensors = new Map<string, Sensor>();
  for (const series of [...(old?.series ?? []), ...recent.series]) {
    const before = sensors.get(series.sensor_uuid);
    // A point that changed its type is a second sensor of the same name: the one with the newest readings is shown.
    const { readings, buckets } = series;
    sensors.set(series.sensor_uuid, {
      name: series.sensor_uuid,
      kind: series.type_class,
      unit: series.unit,
      track:
        readings === undefined || readings.length === 0
          ? (before?.track ?? emptyTrack())
          : joinTrack(before, trackOf(readings)),
      buckets: [...(before?.buckets ?? []), ...(buckets ?? [])],
    });
  }
  return {
    sensors,
    bucketS: spanS <= RAW_S ? 0 : level === "day" ? DAY_S : HOUR_S,
    spanS,
    cut: recent.cut,
  };
}

/** A page may end in the middle of a sensor, which the next goes on with. */
function joinTrack(before: Sensor | undefined, track: Track): Track {
  if (before === undefined || before.track.times.length === 0) return track;
  track.exact.forEach((exact, i) =>
    append(before.track, exact, track.texts[i] ?? track.values[i] ?? null),
  );
  return before.track;
}

async function readPages(
  path: string,
  signal: AbortSignal,
): Promise<{ series: Series[]; cut: boolean }> {
  const series: Series[] = [];
  let next: string | null = "";
  for (let pages = 0; next !== null && pages < MOST_PAGES; pages++) {
    const cursor: string =
      next === "" ? "" : `&cursor=${encodeURIComponent(next)}`;
    const page: HistoryAnswer = await ask(path + cursor, { signal });
    series.push(...page.series);
    ({ next } = page);
  }
  return { series, cut: next !== null };
}

/** Answers false for a payload that only the server can read. */
export function addLive(data: DeviceData, message: FullMessage): boolean {
  const points = pointsOf(message.payload);
  if (points === null) return false;
  const exact = new Date(message.timestamp * 1000).toISOString();
  for (const { name, value, unit } of points) {
    let sensor = data.sensors.get(name);
    if (sensor === undefined) {
      const kind =
        typeof value === "string"
          ? "text"
          : typeof value === "boolean"
            ? "bool"
            : "num";
      sensor = { name, kind, unit, track: emptyTrack(), buckets: [] };
      data.sensors.set(name, sensor);
    }
    append(sensor.track, exactOf(message.timestamp) ?? exact, value);
    trim(sensor.track, message.timestamp - Math.min(data.spanS, RAW_S) - 60);
  }
  return true;
}

/** Unix seconds with a fraction to the microsecond, as the server writes times. */
function exactOf(seconds: number): string | null {
  const us = Math.round(seconds * 1e6);
  if (!Number.isSafeInteger(us)) return null;
  const below = us % 1000;
  const iso = new Date(Math.floor(us / 1000)).toISOString();
  return below === 0
    ? iso
    : iso.replace("Z", `${String(below).padStart(3, "0")}Z`);
}

/** A point's own name before those within objects; within each, by the alphabet. */
export function byName(a: { name: string }, b: { name: string }): number {
  const depth = a.name.split(".").length - b.name.split(".").length;
  return depth !== 0 ? depth : collator.compare(a.name, b.name);
}

const collator = new Intl.Collator("en", { numeric: true });
