/**
 * What a session takes from the feed: batches that begin where it stands, in slices, up to its share of the bounds. The batch
 * that fills it may pass that; then the partition is paused, and the rest stays in the log. It never keeps the feed waiting:
 * the partitions of a broker are fetched together, and the next fetch of all of them would wait too.
 */
import type { LogRecord } from "../domain/message.js";
import { TwinstreamError } from "../errors.js";
import type { LaneFeed } from "../ports.js";
import type { Position } from "./position.js";
import { cut, type Slice } from "./slices.js";

export interface Intake {
  /** A fetched batch; false when it was not taken. */
  take(topic: string, records: readonly LogRecord[], high: number): boolean;
  /** Where the feed has to go on, by topic. */
  positions(): { topic: string; offset: number }[];
  /** End of the partition as the latest fetch saw it; 0 before the first. */
  high(topic: string): number;
  /** What is taken and not stored yet. */
  readonly held: { readonly messages: number; readonly bytes: number };
  /** These slices are stored. */
  stored(slices: readonly Slice[]): void;
  /** After a claim the partition is paused: go on if there is room. */
  resume(): void;
}

export interface IntakeDeps {
  readonly feed: Pick<LaneFeed, "seek" | "pause" | "resume">;
  readonly partition: number;
  readonly positions: readonly Position[];
  readonly share: () => { messages: number; bytes: number };
  /** Offset at which slices of a topic have to be cut, if they hold it. */
  readonly boundary: (topic: string) => number;
  readonly push: (slice: Slice) => void;
  /** The log holds another record where the last one was stored. */
  readonly refused: (error: TwinstreamError) => void;
  readonly signal: AbortSignal;
}

export function createIntake(deps: IntakeDeps): Intake {
  const { feed, partition, signal } = deps;
  const next = new Map(deps.positions.map((at) => [at.topic, at.start]));
  const witness = new Map(deps.positions.map((at) => [at.topic, at.witness]));
  const high = new Map<string, number>();
  /** Offsets sought: where the feed begins later all the same, there are no records in between. */
  const sought = new Map<string, number>();
  const held = { messages: 0, bytes: 0 };
  let paused = false;

  const full = (): boolean => {
    const share = deps.share();
    return held.messages >= share.messages || held.bytes >= share.bytes;
  };

  /** Whether the log is the one that was read: looks at the record that was stored last. */
  function isKnown(topic: string, records: readonly LogRecord[]): boolean {
    const known = witness.get(topic);
    if (known === undefined || known === null) return true;
    const seen = records.find((record) => record.offset === known.offset);
    if (seen === undefined && records[0]!.offset < known.offset) return true;
    if (seen !== undefined && seen.timestampMs !== known.ms) {
      deps.refused(
        new TwinstreamError(
          "OTHER_RECORD",
          `${topic}/${partition}: the record at offset ${known.offset} is of ${new Date(seen.timestampMs).toISOString()}, but the one that was stored is of ${new Date(known.ms).toISOString()}: this is not the log that was read; see: twinstream offsets adopt|rewind`,
        ),
      );
      return false;
    }
    witness.set(topic, null);
    return true;
  }

  /** What of a fetched batch is next; null when it does not begin where the lane stands. */
  function admit(
    topic: string,
    records: readonly LogRecord[],
  ): readonly LogRecord[] | null {
    const at = next.get(topic)!;
    const first = records[0]!.offset;
    if (first > at && sought.get(topic) !== at) {
      sought.set(topic, at);
      feed.seek(topic, partition, at);
      return null;
    }
    if (first >= at) return records;
    const begin = records.findIndex((record) => record.offset >= at);
    return begin < 0 ? [] : records.slice(begin);
  }

  return {
    held,
    high: (topic) => high.get(topic) ?? 0,
    positions: () =>
      [...next].map(([topic, offset]) => ({
        topic,
        offset: witness.get(topic)?.offset ?? offset,
      })),

    take(topic, records, end) {
      high.set(topic, end);
      if (signal.aborted || !isKnown(topic, records)) return false;
      const admitted = admit(topic, records);
      if (admitted === null) return false;
      const from = next.get(topic)!;
      for (const slice of cut(topic, admitted, from, deps.boundary(topic))) {
        next.set(topic, slice.to);
        held.messages += slice.records.length;
        held.bytes += slice.bytes;
        deps.push(slice);
      }
      if (full()) {
        paused = true;
        feed.pause(partition);
      }
      return true;
    },

    stored(slices) {
      for (const { records, bytes } of slices) {
        held.messages -= records.length;
        held.bytes -= bytes;
      }
      if (!paused || full()) return;
      paused = false;
      feed.resume(partition);
    },

    resume() {
      paused = full();
      if (!paused) feed.resume(partition);
    },
  };
}
