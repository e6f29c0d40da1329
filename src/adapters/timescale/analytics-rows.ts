/** Rows of the tenants' views: the statements that select them, and what they say. */
import type { Bucket, Reading } from "../../ports.js";
import { microsecondsOf } from "./times.js";

export interface Selection {
  /** $1 sensor, $2 from, $3 to; by time. */
  readonly ofOne: string;
  /** $1 sensors, $2 from, $3 to; in no order. */
  readonly ofSeveral: string;
}

export interface AnalyticsRow {
  readonly sensor_id: number;
  readonly time_us: string;
  readonly value: number | null;
  readonly text_value: string | null;
  readonly avg_value: number | null;
  readonly max_value: number | null;
  readonly min_value: number | null;
  readonly sample_count: string;
  readonly stddev_value: number | null;
  readonly median_value: number | null;
  readonly p95_value: number | null;
  readonly p99_value: number | null;
}

function selection(columns: string, view: string, time: string): Selection {
  const select = (sensors: string) => `
    SELECT sensor_id, ${microsecondsOf(time)} AS time_us, ${columns} FROM ${view}
    WHERE sensor_id = ${sensors} AND ${time} >= $2::timestamptz AND ${time} < $3::timestamptz`;
  return {
    ofOne: `${select("$1::int")} ORDER BY ${time}`,
    ofSeveral: select("ANY ($1::int[])"),
  };
}

export const READINGS = selection(
  "value, text_value",
  "public.telemetry_data",
  "time",
);

const FIGURES =
  "avg_value, max_value, min_value, sample_count, stddev_value, median_value, p95_value, p99_value";
export const BUCKETS = {
  hour: selection(FIGURES, "public.telemetry_hourly", "bucket"),
  day: selection(FIGURES, "public.telemetry_daily", "bucket"),
} as const;

export const readingOf = (row: AnalyticsRow): Reading => ({
  sensorId: row.sensor_id,
  timeUs: Number(row.time_us),
  value: row.value,
  text: row.text_value,
});

export const bucketOf = (row: AnalyticsRow): Bucket => ({
  sensorId: row.sensor_id,
  timeUs: Number(row.time_us),
  avg: row.avg_value,
  max: row.max_value,
  min: row.min_value,
  count: Number(row.sample_count),
  stddev: row.stddev_value,
  median: row.median_value,
  p95: row.p95_value,
  p99: row.p99_value,
});
