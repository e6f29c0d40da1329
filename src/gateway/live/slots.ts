/** So many of something at a time; who waits too long goes without. */

export interface Slots {
  /** Answers how to give the slot back; null when none was free in time. */
  take(waitMs: number): Promise<(() => void) | null>;
}

export function createSlots(most: number): Slots {
  let taken = 0;
  /** In the order in which they came. */
  const waiting = new Set<(slot: () => void) => void>();

  const slot = (): (() => void) => {
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const [next] = waiting;
      if (next === undefined) taken--;
      else {
        waiting.delete(next);
        next(slot());
      }
    };
  };
  return {
    take(waitMs) {
      if (taken < most) {
        taken++;
        return Promise.resolve(slot());
      }
      return new Promise((resolve) => {
        const have = (mine: () => void): void => {
          clearTimeout(timer);
          resolve(mine);
        };
        const timer = setTimeout(() => {
          waiting.delete(have);
          resolve(null);
        }, waitMs);
        waiting.add(have);
      });
    },
  };
}
