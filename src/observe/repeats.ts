/** Keeps a fact that repeats from flooding the log: its first line at once, the next ones ever further apart. */
import type { Clock } from "../ports.js";

export interface Repeats {
  /** How many were left out since the last line, when a line is due now; null when this one is to be left out too. */
  readonly due: (key: string) => number | null;
  /** The fact has ended: its next occurrence is a first one. */
  readonly forget: (key: string) => void;
}

const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 300_000;
/** Keys remembered at most, the oldest going first: keys may hold the text of an error. */
const MOST_KEYS = 1_000;

export function createRepeats(clock: Clock): Repeats {
  const known = new Map<
    string,
    { nextMs: number; pauseMs: number; left: number }
  >();
  return {
    due(key) {
      const now = clock();
      const entry = known.get(key);
      // Quiet for longer than the longest pause: it is news again.
      if (entry === undefined || now > entry.nextMs + LONGEST_PAUSE_MS) {
        known.delete(key);
        if (known.size >= MOST_KEYS) dropOldest();
        known.set(key, {
          nextMs: now + FIRST_PAUSE_MS,
          pauseMs: FIRST_PAUSE_MS,
          left: 0,
        });
        return 0;
      }
      if (now < entry.nextMs) {
        entry.left += 1;
        return null;
      }
      const left = entry.left;
      entry.left = 0;
      entry.pauseMs = Math.min(entry.pauseMs * 2, LONGEST_PAUSE_MS);
      entry.nextMs = now + entry.pauseMs;
      return left;
    },
    forget(key) {
      known.delete(key);
    },
  };

  function dropOldest(): void {
    const oldest = known.keys().next();
    if (oldest.done !== true) known.delete(oldest.value);
  }
}

type Level = "debug" | "info" | "warn" | "error";

/**
 * Writes the lines of a client library that says the same again with every attempt: warnings and errors by their text, the
 * first at once and then ever more seldom.
 */
export function seldomLines(
  log: Readonly<Record<Level, (fields: object, message: string) => void>>,
  clock: Clock,
): (level: Level, message: string, fields: object) => void {
  const repeats = createRepeats(clock);
  return (level, message, fields) => {
    if (level === "debug" || level === "info")
      return log[level](fields, message);
    const left = repeats.due(message);
    if (left !== null)
      log[level](left > 0 ? { ...fields, left_out: left } : fields, message);
  };
}
