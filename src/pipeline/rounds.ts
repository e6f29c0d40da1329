/** Work that is done now and every so often, one round at a time. */
import { reasonOf } from "../errors.js";
import type { Observer } from "../ports.js";

export interface Rounds {
  /** Begins the first now. */
  start(): void;
  /** Resolves once a round under way is over. */
  stop(): Promise<void>;
}

/** @param work tells its failures itself; a round of it that takes long is not overtaken by the next */
export function createRounds(
  everyMs: number,
  work: () => Promise<unknown>,
): Rounds {
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<unknown> | undefined;

  function go(): void {
    underWay ??= work().finally(() => (underWay = undefined));
  }

  return {
    start() {
      timer = setInterval(go, everyMs);
      go();
    },
    async stop() {
      clearInterval(timer);
      await underWay;
    },
  };
}

export type Attempt = (
  what: string,
  work: () => Promise<unknown>,
) => Promise<void>;

/** Parts of a round: one that fails, with its store away, is told of and keeps no other from being done. */
export const attempts =
  (observer: Observer, whose: string): Attempt =>
  async (what, work) => {
    try {
      await work();
    } catch (error) {
      observer.emit({
        type: "failure",
        where: `${whose}: ${what}`,
        error: reasonOf(error),
      });
    }
  };
