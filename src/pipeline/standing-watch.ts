/** Has a look at the stores every so often and tells what is there; a store that is away is told of elsewhere. */
import { OBJECT_PREFIX } from "../domain/claim-check.js";
import { reasonOf } from "../errors.js";
import type { Clock, ObjectStore, Observer, StandingReader } from "../ports.js";
import { createRounds, type Rounds } from "./rounds.js";

export interface StandingWatchDeps {
  readonly store: StandingReader;
  readonly objects: Pick<ObjectStore, "list" | "free">;
  readonly observer: Observer;
  readonly clock: Clock;
}

export interface StandingWatch extends Rounds {
  /** Once. */
  look(): Promise<void>;
}

const EVERY_MS = 30_000;
/** Counting objects lists them all. */
const OBJECTS_EVERY_MS = 600_000;
/** Beyond so many the count says "at least": listing takes a request for each thousand. */
const OBJECTS_AT_MOST = 200_000;

export function createStandingWatch(deps: StandingWatchDeps): StandingWatch {
  const { store, objects, observer, clock } = deps;
  let countedMs = -Infinity;
  let stopped = false;

  /** One store being away keeps the other from nothing. */
  async function attempt(
    what: string,
    work: () => Promise<void>,
  ): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (stopped) return;
      observer.emit({
        type: "failure",
        where: `looking how ${what} stands`,
        error: reasonOf(error),
      });
    }
  }

  async function lookAtStore(): Promise<void> {
    const standing = await store.read();
    observer.emit({ type: "store_standing", standing, atMs: clock() });
  }

  async function lookAtObjects(): Promise<void> {
    let count = 0;
    let bytes = 0;
    for await (const object of objects.list(OBJECT_PREFIX, Infinity)) {
      count += 1;
      bytes += object.bytes;
      if (stopped) return;
      if (count === OBJECTS_AT_MOST) break;
    }
    const freeBytes = await objects.free();
    observer.emit({
      type: "objects_standing",
      standing: { count, bytes, freeBytes },
    });
    countedMs = clock();
  }

  async function look(): Promise<void> {
    await attempt("the database", lookAtStore);
    if (clock() - countedMs >= OBJECTS_EVERY_MS)
      await attempt("the object store", lookAtObjects);
  }

  const rounds = createRounds(EVERY_MS, look);
  return {
    start: rounds.start,
    stop() {
      stopped = true;
      return rounds.stop();
    },
    look,
  };
}
