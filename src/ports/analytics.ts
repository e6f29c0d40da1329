/** What questions of the past ask of the database. */
import type { TypeClass } from "../domain/message.js";

export interface SensorRecord {
  readonly id: number;
  readonly name: string;
  readonly type: string | null;
  readonly typeClass: TypeClass;
  readonly unit: string | null;
}

/** Which readings or buckets; `after` is the last one that was read already, by (sensor, time). */
export interface AnalyticsQuestion {
  readonly tenant: string;
  /** In ascending order. */
  readonly sensorIds: readonly number[];
  readonly fromUs: number;
  /** Exclusive. */
  readonly toUs: number;
  readonly after: { readonly sensorId: number; readonly timeUs: number } | null;
}

export interface Reading {
  readonly sensorId: number;
  readonly timeUs: number;
  readonly value: number | null;
  readonly text: string | null;
}

export interface Bucket {
  readonly sensorId: number;
  /** Its beginning. */
  readonly timeUs: number;
  readonly avg: number | null;
  readonly max: number | null;
  readonly min: number | null;
  readonly count: number;
  readonly stddev: number | null;
  readonly median: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

/** What the gateway reads of history, by (sensor, time); always within one tenant. */
export interface AnalyticsReader {
  /** Sensors by id, after `afterId`, of these names (null: of all); null when the tenant has no such device. */
  equipment(
    tenant: string,
    deviceId: string,
    options: {
      names: readonly string[] | null;
      afterId: number;
      limit: number;
    },
  ): Promise<{ name: string | null; sensors: SensorRecord[] } | null>;
  /** Times of each sensor's newest readings before one, newest first, at most `limit` a sensor. */
  newestTimes(
    tenant: string,
    sensorIds: readonly number[],
    beforeUs: number,
    limit: number,
  ): Promise<Map<number, number[]>>;
  buckets(
    question: AnalyticsQuestion,
    level: "hour" | "day",
    limit: number,
  ): Promise<Bucket[]>;
  readings(question: AnalyticsQuestion, limit: number): Promise<Reading[]>;
  /** All of them, some at a time, over one snapshot. */
  streamBuckets(
    question: AnalyticsQuestion,
    level: "hour" | "day",
    each: (rows: readonly Bucket[]) => Promise<void>,
  ): Promise<void>;
  streamReadings(
    question: AnalyticsQuestion,
    each: (rows: readonly Reading[]) => Promise<void>,
  ): Promise<void>;
  close(): Promise<void>;
}
