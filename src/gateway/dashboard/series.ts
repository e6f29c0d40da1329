/**
 * What a chart draws, without a screen: figures of hours or days joined with the readings of the last hours, both thinned to
 * what the eye can tell apart. Pure. Times are Unix seconds.
 */
import type { Bucket, Reading } from "./answers.js";

/** Readings of one sensor in the order of time. */
export interface Track {
  readonly times: number[];
  /** Booleans as 0 and 1; null for text. */
  readonly values: (number | null)[];
  /** The texts, for sensors that speak in words. */
  readonly texts: (string | null)[];
  /** The times as the server writes them: exact to the microsecond, which `times` are not. */
  readonly exact: string[];
}

export const emptyTrack = (): Track => ({
  times: [],
  values: [],
  texts: [],
  exact: [],
});

export function trackOf(readings: readonly Reading[]): Track {
  const track = emptyTrack();
  for (const { ts, value } of readings) append(track, ts, value);
  return track;
}

/** Only what is newer than all that is there: the stream may repeat what was read before. Answers whether it was taken. */
export function append(
  track: Track,
  exact: string,
  value: Reading["value"],
): boolean {
  const time = Date.parse(exact) / 1000;
  const last = track.times.at(-1);
  if (last !== undefined && time <= last) return false;
  track.times.push(time);
  track.values.push(
    typeof value === "boolean"
      ? Number(value)
      : typeof value === "number"
        ? value
        : null,
  );
  track.texts.push(typeof value === "string" ? value : null);
  track.exact.push(exact);
  return true;
}

/** Forgets what is older; done in bulk, as each cut moves the whole. */
export function trim(track: Track, beforeS: number): void {
  const count = firstAtOrAfter(track.times, beforeS);
  if (count < 512 && count < track.times.length) return;
  track.times.splice(0, count);
  track.values.splice(0, count);
  track.texts.splice(0, count);
  track.exact.splice(0, count);
}

/** Columns for the chart: one line, and the least and greatest of each place. Null breaks the line. */
export interface Lines {
  readonly times: number[];
  readonly middle: (number | null)[];
  readonly least: (number | null)[];
  readonly greatest: (number | null)[];
}

/** A break is this many times as long as the usual step. */
const BREAK = 4;

/**
 * Readings by columns of equal width, each with its mean, least and greatest. Where there are fewer readings than columns
 * each stands for itself. A longer silence breaks the line.
 */
export function thinned(
  track: Track,
  fromS: number,
  toS: number,
  columns: number,
): Lines {
  const lines = emptyLines();
  const width = (toS - fromS) / Math.max(1, columns);
  const start = firstAtOrAfter(track.times, fromS);
  const each = track.times.length - start <= columns;
  let column = Number.NaN;
  let sum = 0;
  let count = 0;
  let least = Infinity;
  let greatest = -Infinity;
  let timeSum = 0;
  const put = (): void => {
    if (count > 0) add(lines, timeSum / count, sum / count, least, greatest);
    sum = timeSum = count = 0;
    least = Infinity;
    greatest = -Infinity;
  };
  for (let i = start; i < track.times.length; i++) {
    const time = track.times[i]!;
    const value = track.values[i] ?? null;
    if (time > toS) break;
    if (value === null) continue;
    const its = each ? i : Math.floor((time - fromS) / width);
    if (its !== column) put();
    column = its;
    sum += value;
    timeSum += time;
    count++;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  put();
  return broken(lines);
}

/** The buckets before the seam, then the readings' lines; what both cover is told by the readings. */
export function joined(
  buckets: readonly Bucket[],
  bucketS: number,
  recent: Lines,
): Lines {
  const seam = recent.times[0] ?? Infinity;
  const lines = emptyLines();
  for (const { bucket, avg_value, min_value, max_value } of buckets) {
    const from = Date.parse(bucket) / 1000;
    // A bucket stands in its middle. The one the seam goes through would tell part of it twice.
    if (from + bucketS > seam || avg_value === null) continue;
    add(
      lines,
      from + bucketS / 2,
      avg_value,
      min_value ?? avg_value,
      max_value ?? avg_value,
    );
  }
  const old = broken(lines);
  return {
    times: [...old.times, ...recent.times],
    middle: [...old.middle, ...recent.middle],
    least: [...old.least, ...recent.least],
    greatest: [...old.greatest, ...recent.greatest],
  };
}

function broken(lines: Lines): Lines {
  const { times } = lines;
  if (times.length < 3) return lines;
  const steps = times
    .slice(1)
    .map((time, i) => time - times[i]!)
    .sort((a, b) => a - b);
  const longest = steps[Math.floor(steps.length / 2)]! * BREAK;
  const whole = emptyLines();
  for (let i = 0; i < times.length; i++) {
    if (i > 0 && times[i]! - times[i - 1]! > longest)
      add(whole, (times[i - 1]! + times[i]!) / 2, null, null, null);
    add(
      whole,
      times[i]!,
      lines.middle[i]!,
      lines.least[i]!,
      lines.greatest[i]!,
    );
  }
  return whole;
}

const emptyLines = (): Lines => ({
  times: [],
  middle: [],
  least: [],
  greatest: [],
});

function add(
  lines: Lines,
  time: number,
  middle: number | null,
  least: number | null,
  greatest: number | null,
): void {
  lines.times.push(time);
  lines.middle.push(middle);
  lines.least.push(least);
  lines.greatest.push(greatest);
}

/** Stretches of one and the same text. */
export interface Band {
  readonly fromS: number;
  readonly toS: number;
  readonly text: string;
}

/** @param toS where the newest ends: now */
export function bandsOf(track: Track, fromS: number, toS: number): Band[] {
  const bands: Band[] = [];
  const before = Math.max(0, firstAtOrAfter(track.times, fromS) - 1);
  for (let i = before; i < track.times.length; i++) {
    const text = track.texts[i];
    if (text == null) continue;
    const at = Math.max(fromS, track.times[i]!);
    const last = bands.at(-1);
    if (last?.text === text) continue;
    if (last !== undefined) bands[bands.length - 1] = { ...last, toS: at };
    bands.push({ fromS: at, toS, text });
  }
  return bands;
}

/** The reading nearest in time; null where there is none. */
export function nearest(track: Track, timeS: number): number | null {
  const { times } = track;
  if (times.length === 0) return null;
  const after = Math.min(firstAtOrAfter(times, timeS), times.length - 1);
  const before = Math.max(0, after - 1);
  return timeS - times[before]! <= times[after]! - timeS ? before : after;
}

/** By halving. */
function firstAtOrAfter(times: readonly number[], timeS: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! < timeS) low = middle + 1;
    else high = middle;
  }
  return low;
}
