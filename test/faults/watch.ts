/**
 * Looks at a stack under fault again and again: how far the log is, how far it is stored, what the group has committed. What
 * has been stored or committed may never be less than before.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Kafka } from "kafkajs";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createOffsetKeeper } from "../../src/adapters/timescale/offsets.js";
import type { Config } from "../../src/config.js";
import { TOPIC } from "../../src/domain/names.js";

/** By partition of `iot-data`. */
export interface Look {
  /** By performance.now(). */
  readonly atMs: number;
  readonly offsets: readonly number[];
}

const STORED_MS = 200;
const LOG_MS = 500;
/** Stored within so long of its place on the log being seen, all is level. */
const LEVEL_MS = 1000;

export type Watch = ReturnType<typeof watch>;

export function watch(config: Config) {
  const connection = connectLog({
    brokers: [config.KAFKA_BROKERS],
    clientId: "fault-suite",
    log: () => undefined,
  });
  const log = createLogInspector(connection);
  const keeper = createOffsetKeeper({ url: config.DATABASE_URL });
  let admin: ReturnType<Kafka["admin"]> | null = null;
  const ends: Look[] = [];
  const stored: Look[] = [];
  const backwards: string[] = [];
  const over = new AbortController();
  let watching = true;
  let lastCommitted: number[] = [];
  let lastStored: number[] = [];

  function ascends(what: string, before: number[], now: readonly number[]) {
    if (!watching) return;
    for (const [partition, offset] of now.entries())
      if (offset < (before[partition] ?? 0))
        backwards.push(
          `${what} of partition ${partition} went from ${before[partition]} back to ${offset}`,
        );
  }

  /** First offsets not stored. @throws TwinstreamError while the database is away */
  async function readStored(): Promise<number[]> {
    const next: number[] = [];
    for (const { topic, partition, nextOffset } of await keeper.list())
      if (topic === TOPIC.data) next[partition] = Math.max(0, nextOffset);
    return Array.from(next, (offset) => offset ?? 0);
  }

  /** A client that failed once is not asked again. */
  async function asked<T>(
    question: (client: ReturnType<Kafka["admin"]>) => Promise<T>,
  ): Promise<T> {
    try {
      if (admin === null) {
        const fresh = connection.kafka.admin();
        await fresh.connect();
        admin = fresh;
      }
      return await question(admin);
    } catch (error) {
      await admin?.disconnect().catch(() => undefined);
      admin = null;
      throw error;
    }
  }

  /** What the group has committed. @throws while the log is away */
  async function readCommitted(): Promise<number[]> {
    const answers = await asked((client) =>
      client.fetchOffsets({
        groupId: config.PROCESSOR_GROUP,
        topics: [TOPIC.data],
      }),
    );
    const next: number[] = [];
    for (const { partitions } of answers)
      for (const { partition, offset } of partitions)
        next[partition] = Math.max(0, Number(offset));
    return Array.from(next, (offset) => offset ?? 0);
  }

  const readEnds = async (): Promise<number[]> =>
    (await log.bounds(TOPIC.data)).map(({ high }) => high);

  /** @param look whatever it throws, a store or the log is away: a fault's doing, and the next look tells. */
  async function again(everyMs: number, look: () => Promise<void>) {
    while (!over.signal.aborted) {
      await look().catch(() => undefined);
      await pause(everyMs, undefined, { signal: over.signal }).catch(
        () => undefined,
      );
    }
  }
  const looking = Promise.all([
    again(STORED_MS, async () => {
      const offsets = await readStored();
      ascends("the stored offset", lastStored, offsets);
      lastStored = offsets;
      stored.push({ atMs: performance.now(), offsets });
    }),
    again(LOG_MS, async () => {
      const offsets = await readEnds();
      ends.push({ atMs: performance.now(), offsets });
      const committed = await readCommitted();
      ascends("the committed offset", lastCommitted, committed);
      lastCommitted = committed;
    }),
  ]);

  return {
    log,
    backwards,
    readStored,
    readCommitted,
    readEnds,
    /** Messages on the log and not stored, as last seen. */
    behind(): number {
      const at = stored.at(-1)?.offsets ?? [];
      const to = ends.at(-1)?.offsets ?? [];
      return to.reduce(
        (sum, end, n) => sum + Math.max(0, end - (at[n] ?? 0)),
        0,
      );
    },
    /** Between these, offsets may go where they like. */
    lookAway(): () => void {
      watching = false;
      return () => {
        lastCommitted = [];
        lastStored = [];
        watching = true;
      };
    },
    /** Seconds after an instant until what was on the log was stored a second later; null when that was never seen. */
    recoverySeconds(fromMs: number): number | null {
      for (const end of ends) {
        if (end.atMs < fromMs) continue;
        const by = stored.find(
          ({ atMs, offsets }) =>
            atMs >= end.atMs &&
            end.offsets.every((offset, n) => (offsets[n] ?? 0) >= offset),
        );
        if (by !== undefined && by.atMs - end.atMs <= LEVEL_MS)
          return tenths(by.atMs - fromMs);
      }
      return null;
    },
    /** Seconds of the longest time within which nothing was stored. */
    longestStall(fromMs: number, toMs: number): number {
      let longest = 0;
      let movedMs = fromMs;
      let before = -1;
      for (const { atMs, offsets } of stored) {
        if (atMs < fromMs || atMs > toMs) continue;
        const sum = offsets.reduce((all, offset) => all + offset, 0);
        if (sum === before) continue;
        longest = Math.max(longest, atMs - movedMs);
        movedMs = atMs;
        before = sum;
      }
      return tenths(Math.max(longest, toMs - movedMs));
    },
    async end(): Promise<void> {
      over.abort();
      await looking;
      await Promise.allSettled([
        keeper.close(),
        log.close(),
        admin?.disconnect(),
      ]);
    },
  };
}

const tenths = (ms: number): number => Math.round(ms / 100) / 10;
