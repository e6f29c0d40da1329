/**
 * What uploads leave behind when a gateway dies or a store is away, finished or removed:
 * - stored, but its claim check not known to be on the log: announced (again);
 * - receiving for longer than a gateway lets any upload take: row, then object, removed;
 * - parts of objects whose upload broke off: removed;
 * - objects past their retention whose claim has ended, or that have none: removed. That of an open claim stays.
 * One process at a time does it; doing it twice changes nothing.
 */
import {
  ABANDONED_MS,
  claimCheckRecord,
  OBJECT_PREFIX,
} from "../domain/claim-check.js";
import { TOPIC } from "../domain/names.js";
import type {
  Clock,
  LogWriter,
  ObjectStore,
  Observer,
  UploadClaim,
  UploadDesk,
} from "../ports.js";
import { attempts, createRounds, type Rounds } from "./rounds.js";

export interface SweeperOptions {
  readonly desk: UploadDesk;
  readonly objects: ObjectStore;
  readonly log: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  /** FILE_RETENTION_DAYS. */
  readonly retentionDays: number;
}

export interface Sweeper extends Rounds {
  /** Once, with the store made ready before; answers whether it was done, and not by another process. Failures are told to the observer. */
  sweep(): Promise<boolean>;
}

const EVERY_MS = 60_000;
/** The gateway that stored it has had its chance to announce it. */
const UNANNOUNCED_MS = 60_000;
const DAY_MS = 86_400_000;
/** Retention lists every object, so it is not done with each sweep. */
const RETENTION_EVERY_MS = 3_600_000;
const CLAIMS_A_SWEEP = 1000;
const KEYS_A_LOOK = 500;

export function createSweeper(options: SweeperOptions): Sweeper {
  const { desk, objects, log, observer, clock } = options;
  const attempt = attempts(observer, "sweeping uploads");
  let retainedMs = -Infinity;
  let prepared = false;

  async function finishLeft(nowMs: number): Promise<void> {
    const left = await desk.left(nowMs - UNANNOUNCED_MS, CLAIMS_A_SWEEP);
    const stored = left.filter((claim) => claim.state === "stored");
    if (stored.length > 0)
      await attempt("claim checks", () => announce(stored));
    for (const claim of left)
      if (
        claim.state === "receiving" &&
        claim.receivedMs < nowMs - ABANDONED_MS
      )
        await attempt(`claim ${claim.claimId}`, () => remove(claim));
  }

  async function announce(claims: readonly UploadClaim[]): Promise<void> {
    await log.append(TOPIC.uploads, claims.map(claimCheckRecord));
    for (const { tenant, claimId } of claims)
      await desk.announced(tenant, claimId);
  }

  /** The row first, and the object only if the row was still receiving: its gateway may be finishing it at this moment. */
  async function remove({ tenant, claimId, key }: UploadClaim): Promise<void> {
    if (await desk.forget(tenant, claimId)) await objects.remove(key);
  }

  async function retain(nowMs: number): Promise<void> {
    const beforeMs = nowMs - options.retentionDays * DAY_MS;
    let keys: string[] = [];
    for await (const { key } of objects.list(OBJECT_PREFIX, beforeMs)) {
      keys.push(key);
      if (keys.length < KEYS_A_LOOK) continue;
      await removeUnneeded(keys);
      keys = [];
    }
    await removeUnneeded(keys);
  }

  async function removeUnneeded(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const needed = await desk.needed(keys);
    for (const key of keys) if (!needed.has(key)) await objects.remove(key);
  }

  async function sweepAll(): Promise<void> {
    const nowMs = clock();
    await attempt("claims", () => finishLeft(nowMs));
    await attempt("parts of objects", () =>
      objects.sweep(nowMs - ABANDONED_MS),
    );
    if (nowMs - retainedMs < RETENTION_EVERY_MS) return;
    retainedMs = nowMs;
    await attempt("retention", () => retain(nowMs));
  }

  async function sweep(): Promise<boolean> {
    let done = false;
    if (!prepared)
      await attempt("preparing the store", async () => {
        await objects.prepare(options.retentionDays);
        prepared = true;
      });
    await attempt("taking turns", async () => {
      done = await desk.alone(sweepAll);
    });
    return done;
  }

  return { ...createRounds(EVERY_MS, sweep), sweep };
}
