/** Back-off as data, and a wait that an abort ends. Who retries what, and for how long, is said where it is used. */

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** Share of each delay (0 to 1) that is random, so that many who lost the same service do not come back as one. */
  readonly jitter: number;
}

/** For services that come back by themselves: quick at first, then every few seconds for as long as it takes. */
export const PATIENT: Backoff = {
  firstMs: 100,
  maxMs: 5000,
  factor: 2,
  jitter: 0.5,
};

/** Delays in milliseconds, without an end. `random` answers numbers in [0, 1). */
export function* retryDelays(
  backoff: Backoff = PATIENT,
  random: () => number = Math.random,
): Generator<number, never> {
  let ceilingMs = backoff.firstMs;
  for (;;) {
    yield Math.round(ceilingMs * (1 - backoff.jitter * random()));
    ceilingMs = Math.min(backoff.maxMs, ceilingMs * backoff.factor);
  }
}

/** Waits; answers true when the time has passed, false as soon as the signal aborts (at once when it has). Never throws. */
export function waitOr(signal: AbortSignal, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const aborted = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", aborted);
      resolve(true);
    }, ms);
    signal.addEventListener("abort", aborted, { once: true });
  });
}
