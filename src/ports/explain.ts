/** What the database knows of one reading. Times are microseconds since the Unix epoch. */
import type { LetterFacts, ReadingFacts } from "../domain/explanation.js";
import type { LogPlace } from "../domain/replay.js";

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
