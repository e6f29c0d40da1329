/** Where a lane begins: at its stored offset, if the log still is the one that the offset was stored for. */
import { TwinstreamError } from "../errors.js";
import type {
  Claim,
  LogBounds,
  LogInspector,
  Observer,
  TelemetryStore,
} from "../ports.js";
import type { Patiently } from "./patience.js";

export interface Position {
  readonly topic: string;
  /** First offset to take. */
  readonly start: number;
  /** The record before it, by which the log is known again; null where it is gone or was never noted. */
  readonly witness: { readonly offset: number; readonly ms: number } | null;
  /** Offsets that were gone from the log before they were read. */
  readonly lost: { readonly from: number; readonly to: number } | null;
}

/**
 * @param committed what the consumer group has committed; below 0 for nothing
 * @throws TwinstreamError OTHER_CLUSTER or POSITION_BEYOND_LOG when the stored offset cannot be of this log, NOTHING_STORED when
 *   there is none though the group has worked something off
 */
export function positionOf(
  claim: Claim,
  bounds: LogBounds,
  committed: number,
  clusterId: string,
  partition: number,
): Position {
  const { topic, nextOffset, lastRecordMs } = claim;
  if (nextOffset < 0) {
    // A flush tells the group of both topics of its lane: of one that nothing was stored of, where it begins.
    if (committed > bounds.low)
      throw new TwinstreamError(
        "NOTHING_STORED",
        `${topic}/${partition}: the database has nothing stored, but the consumer group has committed ${committed}: the database was wiped, or is another one; point DATABASE_URL at the right one, or have all that the log still has (from ${bounds.low} on) stored in this one: twinstream offsets adopt`,
      );
    return { topic, start: bounds.low, witness: null, lost: null };
  }
  if (claim.clusterId !== null && claim.clusterId !== clusterId)
    throw new TwinstreamError(
      "OTHER_CLUSTER",
      `${topic}/${partition}: the stored offset ${nextOffset} belongs to log cluster ${claim.clusterId}, but this is ${clusterId}; point KAFKA_BROKERS at the right log, or see: twinstream offsets adopt|rewind`,
    );
  if (nextOffset > bounds.high)
    throw new TwinstreamError(
      "POSITION_BEYOND_LOG",
      `${topic}/${partition}: the stored offset ${nextOffset} lies beyond the log's end ${bounds.high}: the log was wiped, or the database belongs to another one; see: twinstream offsets adopt|rewind`,
    );
  if (nextOffset < bounds.low)
    return {
      topic,
      start: bounds.low,
      witness: null,
      lost: { from: nextOffset, to: bounds.low },
    };
  const before = nextOffset - 1;
  const witness =
    lastRecordMs !== null && before >= bounds.low
      ? { offset: before, ms: lastRecordMs }
      : null;
  return { topic, start: nextOffset, witness, lost: null };
}

/** Positions of all topics of a lane; what the log's retention took before it was read is written down and told. */
export async function findPositions(
  claims: readonly Claim[],
  place: {
    readonly clusterId: string;
    readonly partition: number;
    /** Of the consumer group. */
    readonly group: string;
  },
  deps: {
    readonly log: Pick<LogInspector, "bounds" | "committed">;
    readonly store: Pick<TelemetryStore, "noteGap">;
    readonly observer: Observer;
    readonly patiently: Patiently;
  },
): Promise<{ positions: Position[]; bounds: LogBounds[] }> {
  const { clusterId, partition, group } = place;
  const { log, store, observer, patiently } = deps;
  const bounds = await Promise.all(
    claims.map(async ({ topic }) => {
      const all = await patiently(() => log.bounds(topic));
      return all[partition]!;
    }),
  );
  const committed = await Promise.all(
    claims.map(async ({ topic, nextOffset }) => {
      if (nextOffset >= 0) return -1;
      const all = await patiently(() => log.committed(group, topic));
      return all[partition]!;
    }),
  );
  const positions = claims.map((claim, i) =>
    positionOf(claim, bounds[i]!, committed[i]!, clusterId, partition),
  );
  for (const { topic, lost } of positions) {
    if (lost === null) continue;
    await patiently(() => store.noteGap(topic, partition, lost.from, lost.to));
    observer.emit({ type: "lost_to_retention", topic, partition, ...lost });
  }
  return { positions, bounds };
}
