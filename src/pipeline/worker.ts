/**
 * The worker: claim checks of the partitions that the group assigns, many at a time. The group's committed offset says where
 * a partition goes on, a claim's own progress what of it is stored already: a claim that two workers hold for a while, or
 * that is taken twice, changes nothing twice.
 */
import type { LogRecord } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import { tracedIn } from "../domain/traceparent.js";
import { reasonOf } from "../errors.js";
import type { Clock, LaneFeed, Observer, Span, Tracer } from "../ports.js";
import { createPatience, type Patiently } from "./patience.js";
import type { ClaimHandler } from "./upload-claims.js";
import { type ClaimGroup, groupsOf, UNITS } from "./upload-groups.js";
import { createUploadOffsets, type UploadOffsets } from "./upload-offsets.js";
import { createSlots } from "./upload-slots.js";
import { createWatchdog } from "./watchdog.js";

export interface WorkerDeps {
  readonly feed: LaneFeed;
  readonly claims: ClaimHandler;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly watchdogMs: number;
  /** Where traces are wanted. */
  readonly tracer?: Tracer | undefined;
  /** How often it is looked after; 1 s unless given. */
  readonly tickMs?: number;
  /** Called with the reason when the process should end, to be started again. */
  readonly giveUp: (reason: string) => void;
}

export interface Worker {
  start(): Promise<void>;
  /** Ends the claims in work within the deadline, or leaves them to the next owner, and leaves the group. */
  stop(deadlineMs: number): Promise<void>;
  /** What keeps it from working; empty when it is ready. */
  troubles(): string[];
}

interface Part {
  readonly partition: number;
  generation: number;
  readonly offsets: UploadOffsets;
  readonly ending: AbortController;
  readonly patiently: Patiently;
  waitsFor: string | null;
  /** The group has been told. */
  committed: number;
  committing: boolean;
  /** End of the partition as the last fetch saw it. */
  high: number;
}

const TICK_MS = 1000;
export function createWorker(deps: WorkerDeps): Worker {
  const { feed, claims, observer, clock } = deps;
  const parts = new Map<number, Part>();
  const stopping = new AbortController();
  const slots = createSlots(UNITS);
  const watchdog = createWatchdog(deps.watchdogMs);
  const inWork = new Set<Promise<void>>();
  let bytesInWork = 0;
  let claimsInWork = 0;
  /** Batches whose claims have not all begun: nothing is fetched meanwhile. */
  let handing = 0;
  let joined = false;
  let timer: NodeJS.Timeout | null = null;

  function open(partition: number): Part {
    const ending = new AbortController();
    const part: Part = {
      partition,
      generation: 0,
      offsets: createUploadOffsets(),
      ending,
      patiently: createPatience({
        partition,
        signal: ending.signal,
        observer,
        clock,
        waiting: (on) => {
          part.waitsFor = on === null ? null : `${on.on}: ${on.error}`;
        },
      }),
      waitsFor: null,
      committed: -1,
      committing: false,
      high: 0,
    };
    return part;
  }

  function assigned(generation: number, partitions: readonly number[]): void {
    if (stopping.signal.aborted) return;
    joined = true;
    observer.emit({ type: "assigned", generation, partitions });
    for (const [partition, part] of parts) {
      if (partitions.includes(partition)) continue;
      part.ending.abort();
      parts.delete(partition);
      observer.emit({ type: "lag_gone", topic: TOPIC.uploads, partition });
      observer.emit({ type: "released", partition, reason: "revoked" });
    }
    for (const partition of partitions) {
      const part = parts.get(partition) ?? open(partition);
      parts.set(partition, part);
      part.generation = generation;
      // What was told just before the rebalance may have been dropped: it is told again.
      part.committed = -1;
      feed.resume(partition);
    }
  }

  /** True once all have begun: what has begun ends without the feed. */
  async function batch(
    partition: number,
    records: readonly LogRecord[],
    high: number,
  ): Promise<boolean> {
    const part = parts.get(partition);
    if (part === undefined) return false;
    const { generation } = part;
    part.high = high;
    handing++;
    try {
      for (const group of groupsOf(records)) {
        const giveBack = await slots.take(group.units);
        const current =
          !part.ending.signal.aborted &&
          !stopping.signal.aborted &&
          part.generation === generation;
        if (!current) {
          giveBack();
          return false;
        }
        begin(part, group, giveBack);
      }
      return true;
    } finally {
      handing--;
    }
  }

  function begin(part: Part, group: ClaimGroup, giveBack: () => void): void {
    const records = group.records.filter(({ offset }) =>
      part.offsets.begin(offset),
    );
    if (records.length === 0) return giveBack();
    claimsInWork += records.length;
    bytesInWork += group.bytes;
    const work = handle(part, records).finally(() => {
      claimsInWork -= records.length;
      bytesInWork -= group.bytes;
      giveBack();
      inWork.delete(work);
    });
    inWork.add(work);
  }

  function trace(records: readonly LogRecord[]): Span | undefined {
    const from = deps.tracer === undefined ? [] : tracedIn(records);
    if (from.length === 0) return undefined;
    return deps.tracer?.start("claims", "consumer", from, {
      "messaging.destination.name": TOPIC.uploads,
      "messaging.batch.message_count": records.length,
    });
  }

  async function handle(
    part: Part,
    records: readonly LogRecord[],
  ): Promise<void> {
    const span = trace(records);
    try {
      await claims.handle(records, part.patiently, part.ending.signal);
      span?.end();
    } catch (error) {
      span?.end(error);
      for (const { offset } of records) part.offsets.abandon(offset);
      if (part.ending.signal.aborted) return;
      deps.giveUp(`a claim could not even be rejected: ${reasonOf(error)}`);
      return;
    }
    for (const { offset } of records) part.offsets.done(offset);
    await commit(part);
  }

  /** One commit a partition on its way; what is done meanwhile goes with the next. */
  async function commit(part: Part): Promise<void> {
    if (part.committing) return;
    part.committing = true;
    try {
      for (;;) {
        const { next } = part.offsets;
        if (next === null || next <= part.committed) return;
        await feed.commit(part.generation, [
          { topic: TOPIC.uploads, partition: part.partition, offset: next },
        ]);
        part.committed = next;
      }
    } catch (error) {
      // Told again with the next; whoever begins earlier finds the claims ended.
      const text = reasonOf(error);
      observer.emit({ type: "failure", where: "commit claims", error: text });
    } finally {
      part.committing = false;
    }
  }

  function tick(): void {
    observer.emit({
      type: "claims_in_work",
      count: claimsInWork,
      bytes: bytesInWork,
    });
    for (const { partition, high, offsets } of parts.values())
      observer.emit({
        type: "lag",
        topic: TOPIC.uploads,
        partition,
        lag: high - Math.min(high, offsets.next ?? high),
        // How long a claim has waited, its row says.
        behindSeconds: 0,
      });
    for (const part of parts.values()) void commit(part);
    const health = feed.health();
    const facts = [...parts.values()].map((part) => ({
      partition: part.partition,
      lag: claimsInWork,
      stored: claims.moves,
      excused: part.waitsFor !== null,
    }));
    const lastFetchMs = handing > 0 ? clock() : health.lastFetchMs;
    const reason = watchdog.check(clock(), { ...health, lastFetchMs }, facts);
    if (reason === null) return;
    observer.emit({ type: "watchdog", reason });
    deps.giveUp(reason);
  }

  return {
    async start() {
      const patiently = createPatience({
        partition: -1,
        signal: stopping.signal,
        observer,
        clock,
        waiting: () => undefined,
      });
      await patiently(() =>
        feed.start({
          assigned,
          batch: (_, partition, records, high) =>
            batch(partition, records, high),
        }),
      );
      timer = setInterval(tick, deps.tickMs ?? TICK_MS);
    },

    async stop(deadlineMs) {
      stopping.abort();
      if (timer !== null) clearInterval(timer);
      for (const partition of parts.keys()) feed.pause(partition);
      // A large claim leaves off at once: its progress is kept.
      for (const part of parts.values()) part.ending.abort();
      let late: NodeJS.Timeout | undefined;
      const deadline = new Promise<void>((resolve) => {
        late = setTimeout(resolve, deadlineMs);
      });
      await Promise.race([Promise.all(inWork), deadline]);
      clearTimeout(late);
      await feed.stop();
    },

    troubles() {
      if (!joined) return ["has not joined the consumer group yet"];
      return [...parts.values()].flatMap(({ partition, waitsFor }) =>
        waitsFor === null
          ? []
          : [`partition ${partition} waits for ${waitsFor}`],
      );
    },
  };
}
