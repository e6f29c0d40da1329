/**
 * Finds out that a consumer has died or stalls, which it may do without a word: no fetch, no heartbeat, or a lane that has
 * a backlog and does not move though it waits for no store. The process then ends, to be started again.
 */
import type { FeedHealth } from "../ports.js";

export interface LaneFacts {
  readonly partition: number;
  /** Records behind the log's end. */
  readonly lag: number;
  /** Sum of the stored offsets: whether it moved. */
  readonly stored: number;
  /** It waits for a store, is being claimed, or is refused: it says so in readiness instead. */
  readonly excused: boolean;
}

export interface Watchdog {
  /** Why the process should end; null while all is well. */
  check(
    nowMs: number,
    feed: FeedHealth,
    lanes: readonly LaneFacts[],
  ): string | null;
}

export function createWatchdog(limitMs: number): Watchdog {
  const moved = new Map<number, { stored: number; atMs: number }>();
  let aliveMs = 0;

  return {
    check(nowMs, feed, lanes) {
      if (feed.crashed !== null)
        return `the consumer died and will not come back: ${feed.crashed}`;
      if (aliveMs === 0) aliveMs = nowMs;
      const since = (ms: number): number => nowMs - Math.max(ms, aliveMs);
      const seconds = Math.round(limitMs / 1000);
      if (since(feed.lastHeartbeatMs) > limitMs)
        return `no heartbeat to the consumer group for ${seconds} s`;
      const fetching = lanes.some(({ excused }) => !excused);
      if (fetching && since(feed.lastFetchMs) > limitMs)
        return `no fetch from the log for ${seconds} s`;
      for (const { partition, lag, stored, excused } of lanes) {
        const before = moved.get(partition);
        if (
          before === undefined ||
          before.stored !== stored ||
          lag === 0 ||
          excused
        )
          moved.set(partition, { stored, atMs: nowMs });
        else if (nowMs - before.atMs > limitMs)
          return `partition ${partition} is ${lag} records behind and has stored none for ${seconds} s`;
      }
      return null;
    },
  };
}
