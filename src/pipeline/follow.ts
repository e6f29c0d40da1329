/** Something of the database that changes seldom (tenants, devices' adapters), looked up again every few seconds. */
import { reasonOf } from "../errors.js";
import type { Observer } from "../ports.js";

export interface Followed<T> {
  /** Looks it up; until it has resolved no record may be judged. */
  start(): Promise<void>;
  /** As of the latest look that did not fail. */
  readonly current: () => T;
  stop(): void;
}

/** What was changed counts from then on at the latest. */
const REFRESH_MS = 5000;

/** @param empty stands for it until the first look. */
export function follow<T>(
  what: string,
  look: () => Promise<T>,
  empty: T,
  observer: Observer,
  refreshMs = REFRESH_MS,
): Followed<T> {
  let current = empty;
  let timer: NodeJS.Timeout | null = null;

  async function load(): Promise<void> {
    current = await look();
  }

  function refresh(): void {
    load().catch((error: unknown) =>
      observer.emit({
        type: "failure",
        where: `look up ${what}`,
        error: reasonOf(error),
      }),
    );
  }

  return {
    async start() {
      await load();
      timer ??= setInterval(refresh, refreshMs);
    },
    current: () => current,
    stop() {
      if (timer !== null) clearInterval(timer);
    },
  };
}
