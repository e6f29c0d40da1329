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

/** About as much as one fetch of a busy lane brings; large enough to make batches, small enough to keep two in memory. */
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

export interface SliceQueue {
  push(slice: Slice): void;
  /** The next slice, waiting for one; null once the queue is closed. */
  next(): Promise<Slice | null>;
  /** Ends the queue; what is still in it is forgotten (the log has it). */
  close(): void;
}

/** @param first the topic whose slices go before all others. */
export function createSliceQueue(first: string): SliceQueue {
  const ahead: Slice[] = [];
  const others: Slice[] = [];
  let waiting: ((slice: Slice | null) => void) | null = null;
  let closed = false;
  return {
    push(slice) {
      if (closed) return;
      if (waiting !== null) {
        const hand = waiting;
        waiting = null;
        hand(slice);
      } else (slice.topic === first ? ahead : others).push(slice);
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
