/** Looks at a stack again and again while it is drilled: what is on the log, what is stored of it, what the roles hold. */
import { setTimeout as pause } from "node:timers/promises";
import { createOffsetKeeper } from "../../adapters/timescale/offsets.js";
import { TOPIC } from "../../domain/names.js";
import { TwinstreamError } from "../../errors.js";
import type { LogInspector } from "../../ports.js";
import { processOf, residentBytes } from "./processes.js";
import type { DrillStack } from "./stack.js";

/** What there was at an instant, by partition of `iot-data`. */
export interface Look {
  /** By performance.now(). */
  readonly atMs: number;
  /** Ends of the log. */
  readonly ends: readonly number[];
  /** First offset not stored; null while the database does not answer. */
  readonly stored: readonly number[] | null;
}

const LOOK_MS = 200;
const MEMORY_MS = 200;
const READY_MS = 2000;

export type Watch = ReturnType<typeof watch>;

export function watch(
  stack: DrillStack,
  log: LogInspector,
  databaseUrl: string,
) {
  const keeper = createOffsetKeeper({ url: databaseUrl });
  const looks: Look[] = [];
  const peaks = new Map<string, number>();
  const over = new AbortController();
  let failure: unknown = null;

  async function stored(partitions: number): Promise<number[] | null> {
    const next = Array.from({ length: partitions }, () => 0);
    try {
      for (const { topic, partition, nextOffset } of await keeper.list())
        if (topic === TOPIC.data) next[partition] = Math.max(0, nextOffset);
      return next;
    } catch (error) {
      if (error instanceof TwinstreamError && error.canRetry) return null;
      throw error;
    }
  }

  async function keepLooking(): Promise<void> {
    while (!over.signal.aborted) {
      const ends = (await log.bounds(TOPIC.data)).map(({ high }) => high);
      const found = await stored(ends.length);
      looks.push({ atMs: performance.now(), ends, stored: found });
      await pause(LOOK_MS, undefined, { signal: over.signal }).catch(
        () => undefined,
      );
    }
  }
  const looking = keepLooking().catch((error: unknown) => {
    failure = error;
  });

  const weighing = setInterval(() => {
    for (const [name, { pidFile }] of Object.entries(stack.roles)) {
      const role = processOf(pidFile);
      const bytes = role === null ? null : residentBytes(role);
      if (bytes !== null)
        peaks.set(name, Math.max(bytes, peaks.get(name) ?? 0));
    }
  }, MEMORY_MS);

  return {
    looks,
    /** Resident bytes at most, by role. */
    peaks,
    /** The newest look, if there is one. @throws what ended the looking */
    last(): Look | null {
      if (failure !== null) throw failure;
      return looks.at(-1) ?? null;
    },
    /** Why the processor is not ready, or its view not whole; null when all is well. */
    async unready(): Promise<string | null> {
      const port = stack.roles["processor"]?.metricsPort;
      try {
        const signal = AbortSignal.timeout(READY_MS);
        const base = `http://127.0.0.1:${port}`;
        const ready = await fetch(`${base}/ready`, { signal });
        if (!ready.ok) return await ready.text();
        const metrics = await (
          await fetch(`${base}/metrics`, { signal })
        ).text();
        return /^lane_rebuilding\{[^}]*\} 1$/m.test(metrics)
          ? "the view in Redis is being made anew"
          : null;
      } catch {
        return "the processor does not answer";
      }
    },
    async end(): Promise<void> {
      over.abort();
      clearInterval(weighing);
      await looking;
      await keeper.close();
    },
  };
}

/** Whether all that was on the log a while before a look is stored by it. */
export function isLevel(looks: readonly Look[], lagMs: number): boolean {
  const last = looks.at(-1);
  const stored = last?.stored;
  if (last === undefined || !stored) return false;
  const before = looks.findLast(({ atMs }) => atMs <= last.atMs - lagMs);
  return before?.ends.every((end, n) => (stored[n] ?? 0) >= end) ?? false;
}
