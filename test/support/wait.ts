/** Waiting in tests: always for a condition, always with a deadline. */
import { setTimeout as pause } from "node:timers/promises";

interface Patience {
  readonly withinMs: number;
  /** What is waited for, as the failure's text says it. */
  readonly what: string;
  /** Between two looks; 10 unless told. */
  readonly everyMs?: number;
}

/** Polls until `check` answers something other than false, null or undefined, and answers that; throws past the deadline. */
export async function until<T>(
  check: () => T | Promise<T>,
  { withinMs, what, everyMs = 10 }: Patience,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const answer = await check();
    if (answer !== false && answer !== null && answer !== undefined)
      return answer as Exclude<T, false | null | undefined>;
    if (Date.now() > deadline)
      throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(everyMs);
  }
}

/** The promise's outcome, or an error when it takes longer. */
export async function within<T>(
  ms: number,
  promise: Promise<T>,
  what: string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${ms} ms: ${what}`)),
      ms,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
