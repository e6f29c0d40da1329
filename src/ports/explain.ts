/** What the database knows of one reading. Times are microseconds since the Unix epoch. */
import type { TypeClass } from "../domain/message.js";
import type { LogPlace } from "../domain/replay.js";

export interface ReadingFacts {
  /** Whether the tenant has such a device. */
  readonly deviceKnown: boolean;
  /** One for each type class that the point was seen with. */
  readonly sensors: readonly SensorFacts[];
  /** First offset of the partition that is not stored yet; -1 when nothing is. */
  readonly nextOffset: number;
}

export interface SensorFacts {
  readonly typeClass: TypeClass;
  readonly row: {
    readonly value: number | null;
    readonly text: string | null;
    /** When its transaction was committed; null where the server does not keep that (track_commit_timestamp), or no more. */
    readonly storedUs: number | null;
  } | null;
  /** Times of the nearest readings before and after, within eight days; null when there is none. */
  readonly earlierUs: number | null;
  readonly laterUs: number | null;
}

export interface LetterFacts extends LogPlace {
  readonly id: number;
  /** -1 for the whole record. */
  readonly item: number;
  readonly reason: string;
  readonly detail: string;
  readonly storedUs: number;
}

/** Always within one tenant. Throws STORE_UNREACHABLE. */
export interface ExplainReader {
  /** The adapter that a device is registered with; null when none, or when there is no such device. */
  adapterOf(tenant: string, deviceId: string): Promise<string | null>;
  reading(
    question: {
      readonly tenant: string;
      readonly deviceId: string;
      readonly point: string;
      readonly atUs: number;
    },
    /** Where the device's records lie. */
    lane: { readonly topic: string; readonly partition: number },
  ): Promise<ReadingFacts>;
  /** Letters of these records and of their points. */
  letters(tenant: string, places: readonly LogPlace[]): Promise<LetterFacts[]>;
  close(): Promise<void>;
}
