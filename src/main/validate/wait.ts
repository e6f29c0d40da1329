/** Waiting for what a running system does, until a signal says that it took too long. */
import { setTimeout as pause } from "node:timers/promises";

/** Milliseconds between two looks. */
const LOOK_MS = 20;

/** What a check throws when it has seen that something is not as it must be. */
export class NotSo extends Error {
  override readonly name = "NotSo";
  /** Where to look, when it is not where the check says. */
  readonly remedy: string | null;

  constructor(message: string, remedy: string | null = null) {
    super(message);
    this.remedy = remedy;
  }
}

/** Why a signal was aborted: the check's time is over. */
export class TookTooLong extends Error {
  override readonly name = "TookTooLong";
}

/**
 * Looks again and again until `look` answers something other than false or null, and answers that.
 * @param what what is waited for, as a person reads it: "80 rows (there are 12)"
 * @throws NotSo once the signal is aborted; what `look` throws
 */
export async function until<T>(
  signal: AbortSignal,
  what: () => string,
  look: () => Promise<T | false | null> | T | false | null,
  lookMs = LOOK_MS,
): Promise<T> {
  for (;;) {
    const answer = await look();
    if (answer !== false && answer !== null) return answer;
    if (signal.aborted) throw late(signal, what());
    // Woken by the signal: the next look is the last.
    await pause(lookMs, undefined, { signal }).catch(() => undefined);
  }
}

/** The promise's outcome, or NotSo once the signal is aborted. */
export function within<T>(
  signal: AbortSignal,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const tooLate = () => reject(late(signal, what));
    if (signal.aborted) return tooLate();
    signal.addEventListener("abort", tooLate, { once: true });
    promise
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", tooLate));
  });
}

const late = (signal: AbortSignal, what: string): NotSo =>
  new NotSo(
    signal.reason instanceof TookTooLong
      ? `waited in vain for ${what}`
      : `stopped while waiting for ${what}`,
  );
