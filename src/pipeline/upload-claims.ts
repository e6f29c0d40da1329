/** Claim checks, one by one or several small ones together, from the log to `done` or `rejected`. */
import { readClaimCheck } from "../domain/claim-check.js";
import { isFault } from "../domain/fault.js";
import type { DeadLetter, LogRecord } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import { reasonOf, type DeadLetterReason } from "../errors.js";
import type {
  Clock,
  LogWriter,
  Observer,
  UploadClaim,
  UploadStore,
} from "../ports.js";
import { deadLetterRecord } from "./dead-letters.js";
import type { Patiently } from "./patience.js";
import { type ContentDeps, createContents } from "./upload-contents.js";
import type { Ingest } from "./upload-ingest.js";
import { isSmall, PoisonedUpload } from "./upload-reader.js";
import { triage } from "./upload-triage.js";

export interface ClaimDeps extends ContentDeps {
  readonly store: UploadStore;
  readonly deadLetters: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly clusterId: string;
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

export function createClaimHandler(deps: ClaimDeps): ClaimHandler {
  const { store, objects, observer } = deps;
  let moves = 0;
  const ingest: Ingest = async (...given) => {
    const done = await deps.ingest(...given);
    moves++;
    return done;
  };
  const contents = createContents({ ...deps, ingest });

  async function attempt(
    records: readonly LogRecord[],
    patiently: Patiently,
    signal: AbortSignal,
  ): Promise<void> {
    const { open, poisoned, done } = await triage(records, store, objects.type);
    for (const { record, claimId, reason, detail } of poisoned)
      await reject(record, claimId, reason, detail);
    await removed(done);
    const small = open.flatMap(({ claim }) => (isSmall(claim) ? [claim] : []));
    const stored = await contents.storeSmall(small, patiently);
    await ended(stored.done, patiently);
    for (const { record, claim } of open) {
      if (!isSmall(claim)) await large(record, claim, patiently, signal);
      // What comes before its fault is stored, as of a large one; it is quick, so that nothing waits for it to be given up.
      else if (stored.poisoned.includes(claim))
        await large(record, claim, patiently);
    }
  }

  async function large(
    record: LogRecord,
    claim: UploadClaim,
    patiently: Patiently,
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      if (await contents.storeLarge(claim, patiently, signal))
        await ended([claim], patiently);
    } catch (error) {
      if (!(error instanceof PoisonedUpload)) throw error;
      await reject(record, claim.claimId, "bulk_invalid", error.message, claim);
    }
  }

  async function ended(
    claims: readonly UploadClaim[],
    patiently: Patiently,
  ): Promise<void> {
    if (claims.length === 0) return;
    await patiently(() => removed(claims));
    const bytes = claims.reduce((sum, { originalSize: b }) => sum + b, 0);
    const count = claims.length;
    observer.emit({ type: "claims_ended", state: "done", count, bytes });
  }

  async function removed(claims: readonly UploadClaim[]): Promise<void> {
    if (!deps.removeObjects) return;
    await Promise.all(claims.map(({ key }) => objects.remove(key)));
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
