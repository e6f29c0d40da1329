/**
 * A lane: all topics of one partition number, for as long as the group assigns it to this process. Its mode is one of
 * - claiming: moving the fence, finding where to begin; nothing is taken.
 * - running: a session takes, works and flushes.
 * - refused: what is stored does not belong to this log; it looks again every while, in case an operator has mended it.
 * - closed: revoked or stopped; nothing follows.
 * After a rebalance the partition often comes back to its owner: where epoch and offset are as this process left them, the
 * session goes on with its actors, what has gathered and its position. Otherwise it is dropped and a new one begins.
 */
import type { LogRecord } from "../domain/message.js";
import { reasonOf, TwinstreamError } from "../errors.js";
import type { Claim } from "../ports.js";
import { type Awaited, createPatience, waitsFor } from "./patience.js";
import { findPositions } from "./position.js";
import { retryDelays, waitOr } from "./retry.js";
import { LANE_TOPICS, type LaneDeps } from "./lane-deps.js";
import { createSession, type Session } from "./session.js";

export type LaneMode = "claiming" | "running" | "refused" | "closed";

export interface Lane {
  readonly partition: number;
  readonly mode: LaneMode;
  /** Why it does not move, in words; null when it does. */
  readonly trouble: string | null;
  /** Which store it waits for; null when for none. */
  readonly waitsFor: Awaited | null;
  readonly session: Session | null;
  /** The group has assigned the partition (again): claim it. */
  assign(generation: number): void;
  batch(topic: string, records: readonly LogRecord[], high: number): boolean;
  tick(): Promise<void>;
  viewReconnected(): void;
  /** Takes nothing more and flushes what has gathered; for a clean stop. */
  drain(): Promise<void>;
  /** Lets go: finishes or abandons the flush in flight within the deadline. */
  close(reason: string, deadlineMs: number): Promise<void>;
}

/** Codes of what only a person can mend. */
const REFUSALS: ReadonlySet<string> = new Set([
  "OTHER_CLUSTER",
  "POSITION_BEYOND_LOG",
  "NOTHING_STORED",
]);
/** How often a refused lane looks whether the stored offsets were mended, unless the settings say otherwise. */
const REFUSED_MS = 15_000;

export function createLane(
  deps: LaneDeps,
  partition: number,
  clusterId: string,
  /** Resolves once an earlier lane of this partition has let go. */
  before: Promise<void>,
): Lane {
  const { feed, log, store, observer, clock, settings } = deps;
  const closing = new AbortController();
  const { signal } = closing;
  let mode: LaneMode = "claiming";
  let session: Session | null = null;
  let generation = 0;
  let claimWanted = false;
  let claiming: Promise<void> | null = null;
  /** Counts what puts an earlier plan to claim out of date. */
  let planned = 0;
  let refusal: TwinstreamError | null = null;
  let waiting: { on: Awaited; error: string } | null = null;
  let restarts = retryDelays(settings.backoff);

  const patiently = createPatience({
    partition,
    signal,
    observer,
    clock,
    ...(settings.backoff && { backoff: settings.backoff }),
    waiting: (on) => {
      waiting = on;
    },
  });

  function drop(): void {
    session?.end();
    session = null;
  }

  function want(): void {
    claimWanted = true;
    claiming ??= claimLoop().finally(() => {
      claiming = null;
      if (claimWanted && !signal.aborted) want();
    });
  }

  async function claimLoop(): Promise<void> {
    await before;
    while (claimWanted && !signal.aborted) {
      claimWanted = false;
      try {
        await claimOnce();
      } catch (error) {
        if (!signal.aborted) await recover(error);
      }
    }
  }

  /** Revoked or stopped; asked anew after each wait. */
  const isClosed = (): boolean => mode === "closed";

  async function claimOnce(): Promise<void> {
    if (isClosed()) return;
    mode = "claiming";
    planned++;
    if (session !== null) await session.hold();
    if (isClosed()) return;
    // A flush that was in flight may have made room and let the feed go on.
    feed.pause(partition);
    const claims = await patiently(() =>
      store.claim(LANE_TOPICS, partition, settings.owner),
    );
    if (isClosed()) return;
    const kept = session !== null && isAsLeft(session, claims);
    if (kept) adopt(session!, claims);
    else {
      drop();
      await open(claims);
    }
    if (isClosed() || session === null) return;
    for (const { topic, offset } of session.positions())
      feed.seek(topic, partition, offset);
    mode = "running";
    refusal = null;
    session.resume();
    observer.emit({
      type: "claimed",
      partition,
      epochs: claims.map((claim) => claim.epoch),
      offsets: session.positions().map(({ offset }) => offset),
      kept,
    });
  }

  /** The new session is this lane's from the start, so that whoever ends the lane meanwhile ends it too. */
  async function open(claims: readonly Claim[]): Promise<void> {
    const { positions, bounds } = await findPositions(
      claims,
      { clusterId, partition, group: settings.group },
      { log, store, observer, patiently },
    );
    const opened: Session = createSession(deps, {
      partition,
      clusterId,
      positions,
      stored: claims.map((claim) => ({
        topic: claim.topic,
        epoch: claim.epoch,
        offset: claim.nextOffset,
        lastRecordMs: claim.lastRecordMs,
      })),
      bounds: bounds[1]!,
      signal,
      patiently,
      committed: (done) => {
        restarts = retryDelays(settings.backoff);
        feed
          .commit(
            generation,
            done.map(({ topic, offset }) => ({ topic, partition, offset })),
          )
          .catch((error: unknown) =>
            observer.emit({
              type: "failure",
              where: "commit to the group",
              error: reasonOf(error),
            }),
          );
      },
      lost: (why) => {
        if (session === opened) lose(why);
      },
      refused: (error) => {
        if (session === opened) refuse(error);
      },
    });
    if (isClosed()) {
      opened.end();
      return;
    }
    session = opened;
    await opened.begin();
  }

  /** Claims later, unless a claim comes before. */
  function wantIn(ms: number): void {
    const mine = ++planned;
    void waitOr(signal, ms).then((go) => go && mine === planned && want());
  }

  function lose(why: "elsewhere" | "lost" | Error): void {
    drop();
    if (isClosed()) return;
    mode = "claiming";
    feed.pause(partition);
    const error = why instanceof Error ? reasonOf(why) : fenceText(why);
    observer.emit({ type: "lane_restarted", partition, error });
    wantIn(restarts.next().value);
  }

  function refuse(error: TwinstreamError): void {
    drop();
    if (isClosed()) return;
    feed.pause(partition);
    mode = "refused";
    if (refusal?.message !== error.message)
      observer.emit({ type: "lane_refused", partition, error });
    refusal = error;
    wantIn(settings.refusedMs ?? REFUSED_MS);
  }

  async function recover(error: unknown): Promise<void> {
    if (error instanceof TwinstreamError && REFUSALS.has(error.code)) {
      refuse(error);
      return;
    }
    drop();
    observer.emit({
      type: "lane_restarted",
      partition,
      error: reasonOf(error),
    });
    await waitOr(signal, restarts.next().value);
    claimWanted = true;
  }

  return {
    partition,
    get mode() {
      return mode;
    },
    get session() {
      return session;
    },
    get waitsFor() {
      return waiting?.on ?? null;
    },
    get trouble() {
      if (refusal !== null && mode === "refused") return refusal.message;
      if (waiting !== null) return waitsFor(waiting);
      return null;
    },
    assign(newGeneration) {
      generation = newGeneration;
      want();
    },
    batch: (topic, records, high) =>
      mode === "running" &&
      session !== null &&
      session.take(topic, records, high),
    async tick() {
      if (mode === "running") await session?.tick();
    },
    viewReconnected: () => session?.viewReconnected(),
    async drain() {
      await session?.drain();
    },
    async close(reason, deadlineMs) {
      if (isClosed()) return;
      mode = "closed";
      const late = new AbortController();
      if (session !== null)
        await Promise.race([
          session.hold(),
          waitOr(late.signal, deadlineMs).then(() => undefined),
        ]);
      late.abort();
      closing.abort();
      drop();
      await claiming;
      observer.emit({ type: "released", partition, reason });
    },
  };
}

/** Whether the fence stands as this process left it: its epoch was ours until this claim, and the offset is ours. */
function isAsLeft(session: Session, claims: readonly Claim[]): boolean {
  return claims.every((claim, i) => {
    const mine = session.stored[i]!;
    return claim.epoch - 1 === mine.epoch && claim.nextOffset === mine.offset;
  });
}

function adopt(session: Session, claims: readonly Claim[]): void {
  for (const [i, claim] of claims.entries())
    session.stored[i]!.epoch = claim.epoch;
}

const fenceText = (why: "elsewhere" | "lost"): string =>
  why === "lost"
    ? "another processor has claimed the partition; claiming it again, since the group assigns it to this one"
    : "the stored offset was moved by someone else; claiming again";
