/**
 * One claim check, or several small ones together, from the log to `done` or `rejected`. Small uploads are held whole and
 * stored in one transaction for all of them; a large one is read through, some equipments at a time, and the next ones are
 * read while those before are being stored.
 */
import { readClaimCheck } from "../domain/claim-check.js";
import { isFault } from "../domain/fault.js";
import type { Judge } from "../domain/judge.js";
import type { DeadLetter, LogRecord } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import { reasonOf, type DeadLetterReason } from "../errors.js";
import type {
  Clock,
  FinishedClaim,
  LogWriter,
  ObjectStore,
  Observer,
  UploadClaim,
  UploadStore,
} from "../ports.js";
import { deadLetterRecord } from "./dead-letters.js";
import type { Patiently } from "./patience.js";
import { draftOf, type DraftEquipment } from "./upload-equipments.js";
import type { Ingest } from "./upload-ingest.js";
import {
  elementsOf,
  isSmall,
  PoisonedUpload,
  type ReadLimits,
} from "./upload-reader.js";

export interface ClaimDeps {
  readonly store: UploadStore;
  readonly objects: ObjectStore;
  readonly deadLetters: LogWriter;
  readonly ingest: Ingest;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly clusterId: string;
  readonly judge: Pick<Judge, "time" | "age">;
  readonly limits: ReadLimits;
  /** Readings that one transaction holds at least, while there are as many. */
  readonly batchReadings: number;
  /** Whether an object goes once its claim is done. */
  readonly removeObjects: boolean;
}

export interface ClaimHandler {
  /**
   * Resolves once every one of these has ended, or rejects when the signal aborts. What fails for good is rejected alone.
   */
  handle(
    records: readonly LogRecord[],
    patiently: Patiently,
    signal: AbortSignal,
  ): Promise<void>;
  /** Goes up with every transaction and every claim that ends: that it moves. */
  readonly moves: number;
}

/**
 * A transaction is not made of fewer readings than this while there are more: its ten round trips share the process with the
 * reading of what comes next, and took as long as the COPY itself at 10,000.
 */
const LEAST_READINGS = 20_000;
/** Nor of more text or equipments than this. */
const MOST_BYTES = 4 * 1024 * 1024;
const MOST_EQUIPMENTS = 5000;

export function createClaimHandler(deps: ClaimDeps): ClaimHandler {
  const { store, objects, observer, judge, limits } = deps;
  let moves = 0;
  const ingest: Ingest = async (...given) => {
    const done = await deps.ingest(...given);
    moves++;
    return done;
  };
  const fullAt = Math.max(deps.batchReadings, LEAST_READINGS);

  async function attempt(
    records: readonly LogRecord[],
    patiently: Patiently,
    signal: AbortSignal,
  ): Promise<void> {
    const { known, poisoned } = await take(records);
    for (const { record, claimId, reason, detail } of poisoned)
      await reject(record, claimId, reason, detail);
    const small = known.filter(({ claim }) => isSmall(claim));
    await handleSmall(small, patiently);
    for (const { record, claim } of known)
      if (!isSmall(claim))
        await orReject(record, claim, () =>
          handleLarge(claim, patiently, signal),
        );
  }

  /** The claims that are to be worked on; those that have ended are only tidied up after. */
  async function take(records: readonly LogRecord[]): Promise<{
    known: { record: LogRecord; claim: UploadClaim }[];
    poisoned: Poisoned[];
  }> {
    const poisoned: Poisoned[] = [];
    const checks = new Map<string, { record: LogRecord; key: string }>();
    for (const record of records) {
      const check = readClaimCheck(record.value);
      if (isFault(check)) {
        const { reason, detail } = check;
        poisoned.push({ record, claimId: null, reason, detail });
      } else if (!checks.has(check.claimId))
        checks.set(check.claimId, { record, key: check.key });
    }
    const places = [...checks].map(([claimId, { record }]) => ({
      claimId,
      partition: record.partition,
      offset: record.offset,
    }));
    const claims = places.length === 0 ? null : await store.take(places);
    const known: { record: LogRecord; claim: UploadClaim }[] = [];
    for (const [claimId, { record, key }] of checks) {
      const claim = claims?.get(claimId);
      const reason = "bulk_invalid" as const;
      if (claim === undefined) {
        const detail = `there is no claim ${claimId}`;
        poisoned.push({ record, claimId: null, reason, detail });
      } else if (claim.key !== key) {
        // Whoever wrote this, the claim itself is another's.
        const detail = `claim ${claimId} is of another object than ${key}`;
        poisoned.push({ record, claimId: null, reason, detail });
      } else if (claim.state === "processing") {
        const detail = whyNot(claim);
        if (detail === null) known.push({ record, claim });
        else poisoned.push({ record, claimId, reason, detail });
      } else if (claim.state === "receiving") {
        const detail = `claim ${claimId} was announced before it was complete`;
        poisoned.push({ record, claimId: null, reason, detail });
      } else if (claim.state === "done" && deps.removeObjects)
        await objects.remove(claim.key);
    }
    return { known, poisoned };
  }

  function whyNot(claim: UploadClaim): string | null {
    return claim.storageType === objects.type
      ? null
      : `its object is kept in ${claim.storageType}, this worker reads from ${objects.type}; reprocess it with a worker that reads from there`;
  }

  async function handleSmall(
    small: readonly { record: LogRecord; claim: UploadClaim }[],
    patiently: Patiently,
  ): Promise<void> {
    const read = await Promise.all(
      small.map(async (one) => ({ ...one, whole: await readWhole(one.claim) })),
    );
    const drafts: DraftEquipment[] = [];
    const finished: FinishedClaim[] = [];
    const claims: UploadClaim[] = [];
    for (const { claim, whole } of read) {
      if (whole === null) continue;
      for (const draft of whole.drafts) drafts.push(draft);
      const { claimId } = claim;
      finished.push({ claimId, equipments: whole.equipments });
      claims.push(claim);
    }
    if (finished.length > 0)
      await ended(claims, await ingest(drafts, finished, patiently), patiently);
    for (const { record, claim, whole } of read)
      if (whole === null)
        // What comes before its fault is stored: as with a large upload.
        await orReject(record, claim, () =>
          handleLarge(claim, patiently, NEVER),
        );
  }

  /** Null for one that is poisoned. */
  async function readWhole(
    claim: UploadClaim,
  ): Promise<{ drafts: DraftEquipment[]; equipments: number } | null> {
    const drafts: DraftEquipment[] = [];
    let equipments = 0;
    try {
      for await (const elements of elementsOf(objects, claim, limits))
        for (const element of elements) {
          equipments++;
          if (element.ordinal >= claim.nextEquipment)
            drafts.push(draftOf(claim, element, judge));
        }
    } catch (error) {
      if (error instanceof PoisonedUpload) return null;
      throw error;
    }
    return { drafts, equipments };
  }

  async function handleLarge(
    claim: UploadClaim,
    patiently: Patiently,
    signal: AbortSignal,
  ): Promise<void> {
    let equipments = 0;
    let gathered: DraftEquipment[] = [];
    let readings = 0;
    let bytes = 0;
    let storing: Promise<unknown> = Promise.resolve();
    const flush = async (): Promise<void> => {
      await storing;
      const drafts = gathered;
      gathered = [];
      readings = bytes = 0;
      if (drafts.length === 0) return;
      storing = ingest(drafts, [], patiently);
      // Its failure is met where it is waited for.
      storing.catch(() => undefined);
    };
    try {
      for await (const elements of elementsOf(objects, claim, limits)) {
        signal.throwIfAborted();
        for (const element of elements) {
          equipments++;
          if (element.ordinal < claim.nextEquipment) continue;
          const draft = draftOf(claim, element, judge);
          gathered.push(draft);
          readings +=
            (draft.equipment?.sensors.length ?? 0) + draft.errors.length;
          bytes += draft.bytes;
          const full =
            readings >= fullAt ||
            bytes >= MOST_BYTES ||
            gathered.length >= MOST_EQUIPMENTS;
          if (full) await flush();
        }
      }
    } catch (error) {
      if (error instanceof PoisonedUpload) await flush();
      await storing;
      throw error;
    }
    await storing;
    const { claimId } = claim;
    const done = await ingest(gathered, [{ claimId, equipments }], patiently);
    await ended([claim], done, patiently);
  }

  async function ended(
    claims: readonly UploadClaim[],
    done: readonly string[],
    patiently: Patiently,
  ): Promise<void> {
    const finished = claims.filter(({ claimId }) => done.includes(claimId));
    if (finished.length === 0) return;
    if (deps.removeObjects)
      await patiently(async () => {
        await Promise.all(finished.map(({ key }) => objects.remove(key)));
      });
    const bytes = finished.reduce((sum, { originalSize: b }) => sum + b, 0);
    const count = finished.length;
    observer.emit({ type: "claims_ended", state: "done", count, bytes });
  }

  async function orReject(
    record: LogRecord,
    claim: UploadClaim,
    work: () => Promise<void>,
  ): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof PoisonedUpload)) throw error;
      await reject(record, claim.claimId, "bulk_invalid", error.message, claim);
    }
  }

  async function reject(
    record: LogRecord,
    claimId: string | null,
    reason: DeadLetterReason,
    detail: string,
    claim?: UploadClaim,
  ): Promise<void> {
    const letter: DeadLetter = {
      source: record,
      reason,
      detail,
      tenant: claim?.tenant ?? null,
      deviceId: null,
      topic: TOPIC.uploads,
      payload: record.value ?? Buffer.alloc(0),
      item: -1,
      attempts: 1,
    };
    const rejected = await store.reject(letter, claimId, {
      clusterId: deps.clusterId,
      beforeCommit: () =>
        deps.deadLetters.append(TOPIC.uploadDeadLetters, [
          deadLetterRecord(letter, deps.clock()),
        ]),
    });
    moves++;
    if (!rejected) return;
    observer.emit({
      type: "dead_letters",
      counts: new Map([[reason, 1]]),
    });
    const bytes = claim?.originalSize ?? 0;
    if (claimId !== null)
      observer.emit({
        type: "claims_ended",
        state: "rejected",
        count: 1,
        bytes,
      });
  }

  async function handle(
    records: readonly LogRecord[],
    patiently: Patiently,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await patiently(() => attempt(records, patiently, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      if (records.length > 1) {
        for (const record of records) await handle([record], patiently, signal);
        return;
      }
      // Not foreseen: the claim is kept as a dead letter, to be processed again once the cause is gone.
      const [record] = records;
      const text = reasonOf(error);
      observer.emit({ type: "failure", where: "an upload", error: text });
      const check = readClaimCheck(record!.value);
      const claimId = isFault(check) ? null : check.claimId;
      await patiently(() =>
        reject(record!, claimId, "bulk_invalid", `it failed: ${text}`),
      );
    }
  }

  return {
    handle,
    get moves() {
      return moves;
    },
  };
}

interface Poisoned {
  readonly record: LogRecord;
  readonly claimId: string | null;
  readonly reason: DeadLetterReason;
  readonly detail: string;
}

/** Small uploads are quick: nothing waits for them to be given up. */
const NEVER = new AbortController().signal;
