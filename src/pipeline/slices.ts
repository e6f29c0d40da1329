/**
 * What a lane has taken from the log and not yet decoded, in slices of about a megabyte; commands go before telemetry.
 */
import type { LogRecord } from "../domain/message.js";

/** A gapless piece of one topic's partition: [from, to). */
export interface Slice {
  readonly topic: string;
  readonly records: readonly LogRecord[];
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/** What a busy lane works on at a time: large enough to make batches, small enough to keep two in memory. */
const SLICE_BYTES = 1_048_576;

/**
 * Cuts records that begin at `from` into slices; a cut also falls at `boundary` when it lies inside.
 * The offsets between two records (of markers, or removed ones) belong to the slice of the later record.
 */
export function cut(
  topic: string,
  records: readonly LogRecord[],
  from: number,
  boundary: number,
): Slice[] {
  const slices: Slice[] = [];
  let begin = 0;
  let bytes = 0;
  let next = from;
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!;
    if (i > begin && (bytes >= SLICE_BYTES || record.offset === boundary)) {
      const to = records[i - 1]!.offset + 1;
      slices.push({
        topic,
        records: records.slice(begin, i),
        from: next,
        to,
        bytes,
      });
      begin = i;
      bytes = 0;
      next = to;
    }
    bytes += sizeOf(record);
  }
  if (begin < records.length) {
    const to = records[records.length - 1]!.offset + 1;
    slices.push({
      topic,
      records: begin === 0 ? records : records.slice(begin),
      from: next,
      to,
      bytes,
    });
  }
  return slices;
}

const sizeOf = (record: LogRecord): number =>
  (record.value?.length ?? 0) + (record.key?.length ?? 0);

const joined = (one: Slice, next: Slice): Slice => ({
  topic: one.topic,
  records: [...one.records, ...next.records],
  from: one.from,
  to: next.to,
  bytes: one.bytes + next.bytes,
});

export interface SliceQueue {
  /** One that follows the last of its topic is made one with it, while both are no more than a whole slice. */
  push(slice: Slice): void;
  /** The next slice, waiting for one; null once the queue is closed. */
  next(): Promise<Slice | null>;
  /** Ends the queue; what is still in it is forgotten (the log has it). */
  close(): void;
}

/**
 * @param first the topic whose slices go before all others
 * @param boundary offset of a topic at which a slice has to begin, if it holds it
 */
export function createSliceQueue(
  first: string,
  boundary: (topic: string) => number,
): SliceQueue {
  const ahead: Slice[] = [];
  const others: Slice[] = [];
  let waiting: ((slice: Slice | null) => void) | null = null;
  let closed = false;
  const canJoin = (last: Slice, next: Slice): boolean =>
    last.to === next.from &&
    last.bytes + next.bytes <= SLICE_BYTES &&
    next.from !== boundary(next.topic);
  return {
    push(slice) {
      if (closed) return;
      if (waiting !== null) {
        const hand = waiting;
        waiting = null;
        hand(slice);
        return;
      }
      const queue = slice.topic === first ? ahead : others;
      const last = queue.at(-1);
      if (last !== undefined && canJoin(last, slice)) {
        queue[queue.length - 1] = joined(last, slice);
      } else queue.push(slice);
    },
    next() {
      if (closed) return Promise.resolve(null);
      const slice = ahead.shift() ?? others.shift();
      if (slice !== undefined) return Promise.resolve(slice);
      return new Promise((resolve) => {
        waiting = resolve;
      });
    },
    close() {
      closed = true;
      ahead.length = 0;
      others.length = 0;
      waiting?.(null);
      waiting = null;
    },
  };
}
