/** What is asked of the log. */
import type { LogHeaders, LogRecord } from "../domain/message.js";

export interface OutgoingRecord {
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers?: LogHeaders;
  /** Explicit partition; without it murmur2 of the key. */
  readonly partition?: number;
}

export interface LogWriter {
  /** Resolves once every record is acknowledged by all in-sync replicas; records of one key keep their order. */
  append(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
}

/** First offset still there, and the offset that the next record will get. */
export interface LogBounds {
  readonly low: number;
  readonly high: number;
}

export interface LogInspector {
  clusterId(): Promise<string>;
  /** By partition number. */
  bounds(topic: string): Promise<LogBounds[]>;
  /** Offset of the first record at or after a log time (Unix ms), by partition; `high` when there is none. */
  offsetsAt(topic: string, timestampMs: number): Promise<number[]>;
  /** What a consumer group has committed, by partition number; -1 where it has nothing. */
  committed(group: string, topic: string): Promise<number[]>;
  /** Reads [from, to) of one partition in batches, in order, outside any consumer group of ours. */
  read(
    range: { topic: string; partition: number; from: number; to: number },
    each: (records: LogRecord[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** The processor's membership in its consumer group, by partition number (a lane covers all topics of a number). */
export interface LaneFeed {
  /** Joins and consumes until `stop`. Resolves once the group is joined. */
  start(handler: LaneFeedHandler): Promise<void>;
  /** Continue this partition at an offset, from the next fetch on. */
  seek(topic: string, partition: number, offset: number): void;
  /** Stop or go on fetching for all topics of a partition number. */
  pause(partition: number): void;
  resume(partition: number): void;
  /**
   * Tells the group how far a partition is stored, for lag and for people. Dropped when the assignment `generation` is no
   * longer the current one, or when it would go backwards. Nothing is read from there; it only shows a database that has lost
   * what was stored.
   */
  commit(
    generation: number,
    offsets: readonly { topic: string; partition: number; offset: number }[],
  ): Promise<void>;
  /** Leaves the group. */
  stop(): Promise<void>;
  health(): FeedHealth;
}

/** What the watchdog looks at; times are Unix milliseconds, 0 for never. */
export interface FeedHealth {
  readonly running: boolean;
  /** Why the consumer died for good; null while it lives. */
  readonly crashed: string | null;
  readonly lastFetchMs: number;
  readonly lastHeartbeatMs: number;
  readonly lastJoinMs: number;
}

export interface LaneFeedHandler {
  /** The whole assignment after each rebalance. All its partitions are paused until resumed. Must not throw. */
  assigned(generation: number, partitions: readonly number[]): void;
  /**
   * A fetched batch, in order. Returns false when it was not taken (it will be fetched again); `high` is the end of the
   * partition as the fetch saw it. Resolves when the next fetch may go on; called with a heartbeat running. Must not throw.
   */
  batch(
    topic: string,
    partition: number,
    records: LogRecord[],
    high: number,
  ): Promise<boolean>;
}
