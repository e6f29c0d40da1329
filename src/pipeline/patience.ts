/** Waiting for a store that is away: the same work again, with back-off, for as long as the failure is one that passes. */
import { reasonOf, TwinstreamError, type ErrorCode } from "../errors.js";
import type { Clock, Observer } from "../ports.js";
import { type Backoff, PATIENT, retryDelays, waitOr } from "./retry.js";

export type Awaited = "redis" | "database" | "log" | "objects";

const AWAITED: Partial<Record<ErrorCode, Awaited>> = {
  VIEW_UNREACHABLE: "redis",
  STORE_UNREACHABLE: "database",
  STORE_NOT_MIGRATED: "database",
  LOG_UNREACHABLE: "log",
  OBJECTS_UNREACHABLE: "objects",
};

export type Patiently = <T>(work: () => Promise<T>) => Promise<T>;

export interface PatienceOptions {
  readonly partition: number;
  readonly signal: AbortSignal;
  readonly observer: Observer;
  readonly clock: Clock;
  /** `PATIENT` unless given. */
  readonly backoff?: Backoff;
  /** Told what is waited for, and null when it is for nothing any more. */
  readonly waiting: (on: Waiting | null) => void;
}

interface Waiting {
  readonly on: Awaited;
  readonly error: string;
  readonly sinceMs: number;
}

/** As readiness says it. */
export const waitsFor = ({
  on,
  error,
}: Pick<Waiting, "on" | "error">): string =>
  `waits for ${on === "log" ? "the log" : on}: ${error}`;

/**
 * Answers a function that repeats work while it fails with an error that says it can be retried. Other errors go through,
 * and so does the last error once the signal aborts. Several works may wait at a time; each says so for itself.
 */
export function createPatience(options: PatienceOptions): Patiently {
  const { partition, signal, observer, clock, backoff = PATIENT } = options;
  const away = new Set<Waiting>();
  const tell = (): void => options.waiting([...away].at(-1) ?? null);

  /** This store answered; it counts as resumed once no other work waits for it. */
  function answered({ on, sinceMs }: Waiting): void {
    for (const other of away) if (other.on === on) return;
    const seconds = (clock() - sinceMs) / 1000;
    observer.emit({ type: "lane_resumed", partition, on, seconds });
  }

  return async (work) => {
    const delays = retryDelays(backoff);
    let waiting = null as Waiting | null;
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          const result = await work();
          if (waiting !== null) {
            away.delete(waiting);
            answered(waiting);
          }
          return result;
        } catch (error) {
          const on = awaitedBy(error);
          if (on === undefined || signal.aborted) throw error;
          const text = reasonOf(error);
          const before = waiting;
          if (before !== null) away.delete(before);
          const sinceMs = before?.on === on ? before.sinceMs : clock();
          waiting = { on, error: text, sinceMs };
          away.add(waiting);
          if (before !== null && before.on !== on) answered(before);
          tell();
          const delayMs = delays.next().value;
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
    } finally {
      if (waiting !== null) {
        away.delete(waiting);
        tell();
      }
    }
  };
}

function awaitedBy(error: unknown): Awaited | undefined {
  if (!(error instanceof TwinstreamError)) return undefined;
  if (!error.canRetry && error.code !== "STORE_NOT_MIGRATED") return undefined;
  return AWAITED[error.code];
}
