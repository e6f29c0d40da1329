/** Runs checks one after the other, each within its time, whatever becomes of the others. */
import { reasonOf } from "../../errors.js";
import { withoutSecrets } from "../../observe/logger.js";
import { HOW } from "./checks.js";
import type { Ground } from "./ground.js";
import type { CHECKS } from "./names.js";
import { NotSo, TookTooLong, within } from "./wait.js";

export interface Outcome {
  readonly check: string;
  readonly ok: boolean;
  readonly found: string;
  readonly remedy: string | null;
  readonly figures: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** How long after its time a check that saw its signal may take to say what it waited for. */
const GRACE_MS = 2000;

export async function runCheck(
  { name, remedy }: (typeof CHECKS)[number],
  ground: Ground,
  limitMs: number,
  stop: AbortSignal,
): Promise<Outcome> {
  const signal = limited(limitMs, stop);
  const hard = limited(limitMs + GRACE_MS, stop);
  const beganMs = performance.now();
  const outcome = (
    ok: boolean,
    found: string,
    figures: Outcome["figures"],
    where: string | null,
  ): Outcome => ({
    check: name,
    ok,
    found,
    remedy: where,
    figures,
    seconds: Math.round(performance.now() - beganMs) / 1000,
  });
  try {
    const { found, figures = {} } = await within(
      hard.signal,
      "an answer",
      HOW[name](ground, signal.signal),
    );
    return outcome(true, found, figures, null);
  } catch (error) {
    const where = error instanceof NotSo ? error.remedy : null;
    return outcome(false, withoutSecrets(reasonOf(error)), {}, where ?? remedy);
  } finally {
    signal.end();
    hard.end();
  }
}

/**
 * A signal that is aborted after a time, or with another one. Not AbortSignal.any with AbortSignal.timeout: both are held
 * weakly, and on Node 20.20.2 a check waited for ever on one that was collected.
 */
function limited(ms: number, stop: AbortSignal) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new TookTooLong()), ms);
  const stopped = (): void => limit.abort();
  if (stop.aborted) stopped();
  stop.addEventListener("abort", stopped);
  return {
    signal: limit.signal,
    end(): void {
      clearTimeout(timer);
      stop.removeEventListener("abort", stopped);
    },
  };
}
