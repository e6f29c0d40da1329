/** What is given to the gateways at a pace all the while, each try at the next of them, until it has its answer. */
import { setTimeout as pause } from "node:timers/promises";
import type { Ground } from "./ground.js";

const AGAIN_MS = 1000;

/** One thing to give; tried again under the same key until it answers true. */
type Attempt = (base: string) => Promise<boolean>;

export interface Sender {
  /** How many were begun. */
  made(): number;
  /** Begins no more; those under way are tried until they have their answer, or so many seconds have passed. */
  stop(graceSeconds: number): Promise<void>;
}

/** @param next the one of this number, from 0 */
export function startSender(
  ground: Ground,
  everyMs: number,
  next: (number: number) => Attempt,
): Sender {
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();
  let made = 0;
  let tries = 0;

  async function send(attempt: Attempt): Promise<void> {
    while (!stopping.signal.aborted) {
      const gateways = ground.roles.gateways();
      const base = gateways[tries++ % gateways.length];
      if (base !== undefined && (await attempt(base))) return;
      await pause(AGAIN_MS);
    }
  }

  const timer = setInterval(() => {
    const sending = send(next(made++)).finally(() => underWay.delete(sending));
    underWay.add(sending);
  }, everyMs);
  ground.onEnd(async () => {
    clearInterval(timer);
    stopping.abort();
  });

  return {
    made: () => made,
    async stop(graceSeconds) {
      clearInterval(timer);
      const late = setTimeout(() => stopping.abort(), graceSeconds * 1000);
      await Promise.all(underWay);
      clearTimeout(late);
    },
  };
}
