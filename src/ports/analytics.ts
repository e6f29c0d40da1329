/** What the gateway asks the database of the past. Times are microseconds since the Unix epoch. */
import type { TypeClass } from "../domain/message.js";

/** A point of a device, as the database knows it. */
export interface SensorRecord {
  readonly id: number;
  readonly name: string;
  /** In the words of the device or the uploader. */
  readonly type: string | null;
  readonly typeClass: TypeClass;
  readonly unit: string | null;
}

/** Which readings, or which buckets by their beginning. */
export interface AnalyticsQuestion {
  readonly tenant: string;
  /** Ascending. */
  readonly sensorIds: readonly number[];
  readonly fromUs: number;
  /** Exclusive. */
  readonly toUs: number;
  /** Only what comes behind this place, in the order of (sensor, time); null for all. */
  readonly after: { readonly sensorId: number; readonly timeUs: number } | null;
}

export interface Reading {
  readonly sensorId: number;
  readonly timeUs: number;
  /** Numbers, and booleans as 0 or 1; null for text. */
  readonly value: number | null;
  readonly text: string | null;
}

/** The figures of one hour or day (UTC); null where there are no numbers, or only one for a deviation. */
export interface Bucket {
  readonly sensorId: number;
  /** Its beginning. */
  readonly timeUs: number;
  readonly avg: number | null;
  readonly max: number | null;
  readonly min: number | null;
  /** Texts count too. */
  readonly count: number;
  readonly stddev: number | null;
  readonly median: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

/** Rows come in the order of (sensor, time), and only those of the question's tenant. Throws STORE_UNREACHABLE. */
export interface AnalyticsReader {
  /**
   * A device's sensors in the order of their ids: at most `limit` of those after `afterId`, of these names only unless null.
   * Null when the tenant has no such device.
   */
  equipment(
    tenant: string,
    deviceId: string,
    options: {
      names: readonly string[] | null;
      afterId: number;
      limit: number;
    },
  ): Promise<{ name: string | null; sensors: SensorRecord[] } | null>;
  /**
   * When each sensor spoke last: its newest times before `beforeUs`, newest first, at most `limit`, none from more than 40
   * days earlier. Every sensor asked for has a list.
   */
  newestTimes(
    tenant: string,
    sensorIds: readonly number[],
    beforeUs: number,
    limit: number,
  ): Promise<Map<number, number[]>>;
  /** The first `limit`. */
  buckets(
    question: AnalyticsQuestion,
    level: "hour" | "day",
    limit: number,
  ): Promise<Bucket[]>;
  /** The first `limit`. */
  readings(question: AnalyticsQuestion, limit: number): Promise<Reading[]>;
  /** All of them over one snapshot, some at a time: the next are read once `each` has resolved. Rejects as `each` does. */
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
