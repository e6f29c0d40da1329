/**
 * Whose work is next, over all lanes of a process: large slices have turns, one at a time, and the event loop goes round
 * between them; a small one goes at once. So what a quiet lane has waits for one slice of a busy one at most, at each of its
 * steps, instead of for one of every busy lane.
 */

/** Bytes of a slice up to which it waits for nobody: a hundred messages or so. */
const SMALL_BYTES = 32_768;

/** Runs work of a slice of so many bytes in its turn, or at once. The turn ends when the work has. */
export type Turns = <T>(
  bytes: number,
  work: () => T | Promise<T>,
) => Promise<T>;

export function createTurns(): Turns {
  let last: Promise<void> = Promise.resolve();
  return async (bytes, work) => {
    if (bytes <= SMALL_BYTES) return work();
    const before = last;
    let end: () => void = () => undefined;
    last = new Promise((resolve) => (end = resolve));
    await before;
    try {
      return await work();
    } finally {
      // What came in meanwhile is looked at first.
      setImmediate(end);
    }
  };
}
