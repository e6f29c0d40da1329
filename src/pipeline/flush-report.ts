/** What a committed flush says of itself: counts, latency, dead letters. */
import type { Flush, FlushResult, Observer } from "../ports.js";
import type { Prepared } from "./prepare.js";

export function reportFlush(
  observer: Observer,
  nowMs: number,
  done: {
    readonly prepared: readonly Prepared[];
    readonly flush: Pick<Flush, "partition" | "changes" | "deadLetters">;
    readonly result: FlushResult;
    readonly startedMs: number;
  },
): void {
  const { prepared, flush, result } = done;
  const redelivered = prepared.reduce((sum, one) => sum + one.duplicates, 0);
  // An earlier try had been committed: what it counted is unknown.
  const moved = result.fence === "moved" ? result : null;
  const counts = new Map<string, number>();
  const tally = (reason: string, n = 1): void => {
    if (n > 0) counts.set(reason, (counts.get(reason) ?? 0) + n);
  };
  for (const letter of flush.deadLetters) tally(letter.reason);
  for (const change of flush.changes)
    for (const letter of change.deadLetters) tally(letter.reason);
  tally("conflict", moved?.conflicts ?? 0);
  tally("row_refused", moved?.refused ?? 0);
  observer.emit({
    type: "batch_stored",
    partition: flush.partition,
    messages: prepared.reduce((sum, p) => sum + p.slice.records.length, 0),
    points: moved?.stored ?? 0,
    duplicates: (moved?.duplicates ?? 0) + redelivered,
    conflicts: counts.get("conflict") ?? 0,
    refused: counts.get("row_refused") ?? 0,
    seconds: (nowMs - done.startedMs) / 1000,
  });
  for (const { oldestUs, slice } of prepared)
    if (oldestUs > 0)
      observer.emit({
        type: "latency",
        seconds: nowMs / 1000 - oldestUs / 1e6,
        count: slice.records.length,
      });
  if (counts.size > 0) observer.emit({ type: "dead_letters", counts });
}
