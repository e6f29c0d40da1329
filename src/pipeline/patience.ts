/** Waiting for a store that is away: the same work again, with back-off, for as long as the failure is one that passes. */
import { reasonOf, TwinstreamError, type ErrorCode } from "../errors.js";
import type { Clock, Observer } from "../ports.js";
import { retryDelays, waitOr } from "./retry.js";

export type Awaited = "redis" | "database" | "log";

const AWAITED: Partial<Record<ErrorCode, Awaited>> = {
  VIEW_UNREACHABLE: "redis",
  STORE_UNREACHABLE: "database",
  STORE_NOT_MIGRATED: "database",
  LOG_UNREACHABLE: "log",
};

export type Patiently = <T>(work: () => Promise<T>) => Promise<T>;

export interface PatienceOptions {
  readonly partition: number;
  readonly signal: AbortSignal;
  readonly observer: Observer;
  readonly clock: Clock;
  /** Told what is waited for, and null when it is there again. */
  readonly waiting: (on: { on: Awaited; error: string } | null) => void;
}

/**
 * Answers a function that repeats work while it fails with an error that says it can be retried. Other errors go through,
 * and so does the last error once the signal aborts.
 */
export function createPatience(options: PatienceOptions): Patiently {
  const { partition, signal, observer, clock } = options;
  return async (work) => {
    const delays = retryDelays();
    let sinceMs = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await work();
        if (sinceMs > 0) options.waiting(null);
        return result;
      } catch (error) {
        const on = awaitedBy(error);
        if (on === undefined || signal.aborted) throw error;
        if (sinceMs === 0) sinceMs = clock();
        const delayMs = delays.next().value;
        const text = reasonOf(error);
        options.waiting({ on, error: text });
        observer.emit({
          type: "lane_waiting",
          partition,
          on,
          error: text,
          attempt,
          delayMs,
        });
        if (!(await waitOr(signal, delayMs))) throw error;
      }
    }
  };
}

function awaitedBy(error: unknown): Awaited | undefined {
  if (!(error instanceof TwinstreamError)) return undefined;
  if (!error.canRetry && error.code !== "STORE_NOT_MIGRATED") return undefined;
  return AWAITED[error.code];
}
