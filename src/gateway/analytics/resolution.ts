/**
 * How finely a history is shown, and how whole a bucket is. Both stand on a sensor's usual interval, which is taken from the
 * gaps between its newest readings: their median, so that a break or a burst changes nothing.
 */
export type Level = "raw" | "hour" | "day";

const HOUR_US = 3_600_000_000;
const DAY_US = 24 * HOUR_US;
export const BUCKET_US = { hour: HOUR_US, day: DAY_US } as const;

/** Rows a sensor that `auto` shows at most. */
const MOST_ROWS = 2000;
/** Newest readings that the interval is taken from. */
export const TIMES_LOOKED_AT = 33;
/** Below it nobody can tell a rhythm. */
const LEAST_GAPS = 4;
/** A gap is of the rhythm when it is this close to the median, as a part of it. */
const NEAR = 0.25;

/** What is known of how often a sensor speaks, microseconds. */
export interface Rhythm {
  /** Median gap; null when there are too few readings to say. */
  readonly gapUs: number | null;
  /** The same, when most gaps are close to it; null for a sensor that speaks when it likes. */
  readonly intervalUs: number | null;
}

/** @param timesUs of the newest readings, newest first */
export function rhythmOf(timesUs: readonly number[]): Rhythm {
  const gaps = timesUs
    .slice(1)
    .map((timeUs, i) => timesUs[i]! - timeUs)
    .toSorted((a, b) => a - b);
  if (gaps.length < LEAST_GAPS) return { gapUs: null, intervalUs: null };
  const gapUs = gaps[Math.floor(gaps.length / 2)]!;
  const near = gaps.filter((gap) => Math.abs(gap - gapUs) <= gapUs * NEAR);
  const isRegular = near.length * 2 > gaps.length;
  return { gapUs, intervalUs: isRegular ? gapUs : null };
}

/**
 * The finest level that gives at most MOST_ROWS rows a sensor; days when none does.
 * @param rhythms of the sensors asked for @param rawFromUs before it raw rows are no longer kept
 */
export function finestLevel(
  fromUs: number,
  toUs: number,
  rhythms: readonly Rhythm[],
  rawFromUs: number,
): Level {
  const spanUs = toUs - fromUs;
  const readings = Math.max(
    0,
    // A sensor of a few readings has a few readings.
    ...rhythms.map(({ gapUs }) => (gapUs === null ? 0 : spanUs / gapUs)),
  );
  if (fromUs >= rawFromUs && readings <= MOST_ROWS) return "raw";
  return bucketsIn(fromUs, toUs, "hour") <= MOST_ROWS ? "hour" : "day";
}

const bucketsIn = (fromUs: number, toUs: number, level: "hour" | "day") =>
  Math.ceil((toUs - bucketStart(fromUs, level)) / BUCKET_US[level]);

/** Beginning of the bucket (UTC) that holds this time. */
export const bucketStart = (timeUs: number, level: "hour" | "day"): number =>
  Math.floor(timeUs / BUCKET_US[level]) * BUCKET_US[level];

/**
 * Which part of the readings that the interval lets expect a bucket holds, 0 to 1; of a bucket that is not over, of those
 * until now. Null when the interval is not known.
 */
export function completenessOf(
  bucket: { readonly timeUs: number; readonly count: number },
  level: "hour" | "day",
  intervalUs: number | null,
  nowUs: number,
): number | null {
  if (intervalUs === null) return null;
  const endUs = Math.min(bucket.timeUs + BUCKET_US[level], nowUs);
  const expected = Math.max(
    1,
    Math.floor((endUs - bucket.timeUs) / intervalUs),
  );
  return Math.min(1, Math.round((bucket.count / expected) * 1e4) / 1e4);
}
