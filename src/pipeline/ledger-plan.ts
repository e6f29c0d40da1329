/** Which offsets of an asked range can be looked at, and what the others are. */
import type { LedgerStanding, LogBounds } from "../ports.js";
import { positionOf } from "./position.js";

/** Offsets [from, to) of one partition. */
export interface OffsetRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

/** What of an asked range can be looked at. Counts are of offsets. */
export interface LedgerPlan extends OffsetRange {
  /** Beyond the stored offset. */
  readonly inFlight: number;
  /** Gone from the log before they were read. */
  readonly lost: number;
  /** Gone from the log since they were read. */
  readonly gone: number;
}

/** @throws TwinstreamError OTHER_CLUSTER or POSITION_BEYOND_LOG when the stored offset is not of this log. */
export function planRange(
  asked: OffsetRange,
  { low, high }: LogBounds,
  standing: LedgerStanding,
  clusterId: string,
): LedgerPlan {
  const { topic, partition } = asked;
  const here = (one: { topic: string; partition: number }): boolean =>
    one.topic === topic && one.partition === partition;
  const at = standing.offsets.find(here);
  const claim = {
    topic,
    nextOffset: at?.nextOffset ?? -1,
    clusterId: at?.clusterId ?? null,
    epoch: 0,
    lastRecordMs: null,
  };
  // What the group has worked off and this database has not is in flight.
  const { start, lost } = positionOf(
    claim,
    { low, high },
    -1,
    clusterId,
    partition,
  );
  const from = Math.max(0, asked.from);
  const to = Math.max(from, Math.min(asked.to, high));
  const within = (one: { from: number; to: number }): number =>
    Math.max(0, Math.min(one.to, to) - Math.max(one.from, from));
  const gaps = standing.gaps.filter(here);
  const noted = gaps.reduce((sum, gap) => sum + within(gap), 0);
  const unnoted =
    lost === null || gaps.some((gap) => gap.from === lost.from)
      ? 0
      : within(lost);
  return {
    topic,
    partition,
    from: Math.min(to, Math.max(from, low)),
    to: Math.max(Math.min(to, start), Math.min(to, Math.max(from, low))),
    inFlight: within({ from: start, to: high }),
    lost: noted + unnoted,
    gone: Math.max(0, within({ from: 0, to: low }) - noted - unnoted),
  };
}
