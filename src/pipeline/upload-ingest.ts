/**
 * Equipments into the log and the database: ids → bulk notes, acknowledged → one transaction with rows and progress. Notes go
 * first, so that whatever a claim's progress covers has its notes on the log, and a crash makes again only those of
 * equipments that are handled again.
 */
import { reasonOf, TwinstreamError } from "../errors.js";
import { TOPIC } from "../domain/names.js";
import type {
  Clock,
  EquipmentResult,
  FinishedClaim,
  LogWriter,
  Observer,
  StoredEquipments,
  UploadClaim,
  UploadStore,
} from "../ports.js";
import type { Patiently } from "./patience.js";
import { createUploadDevices } from "./upload-devices.js";
import type { DraftEquipment } from "./upload-equipments.js";
import { notesOf } from "./upload-notes.js";

export interface IngestDeps {
  readonly store: UploadStore;
  readonly log: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly clusterId: string;
  /** Of `iot-data`. */
  readonly partitions: number;
  readonly historyMs: number;
}

/**
 * Equipments of one or several claims, each claim's in order; answers which of the finished are done. Ids and notes are made
 * at once, the transaction begins when `turn` has come: the ingest of the equipments before these.
 */
export type Ingest = (
  drafts: readonly DraftEquipment[],
  finished: readonly FinishedClaim[],
  patiently: Patiently,
  turn?: Promise<unknown>,
) => Promise<readonly string[]>;

/** How long after duplicates rows go through staging at once, milliseconds. */
const EXPECT_MS = 2000;

export function createIngest(deps: IngestDeps): Ingest {
  const { store, log, observer, clock, clusterId } = deps;
  const devices = createUploadDevices(store, deps.partitions);
  let sawDuplicatesMs = -Infinity;

  async function storeOnce(
    drafts: readonly DraftEquipment[],
    finished: readonly FinishedClaim[],
    patiently: Patiently,
    turn?: Promise<unknown>,
  ): Promise<readonly string[]> {
    const claims = new Map<string, UploadClaim>(
      drafts.map(({ claim }) => [claim.claimId, claim]),
    );
    const results = await patiently(() => devices.resolve(drafts));
    const notes = notesOf(
      results,
      claims,
      clock() * 1000 - deps.historyMs * 1000,
    );
    if (notes.length > 0) await patiently(() => log.append(TOPIC.data, notes));
    await turn;
    return (await stored(results, finished, patiently)).done;
  }

  async function stored(
    results: readonly EquipmentResult[],
    finished: readonly FinishedClaim[],
    patiently: Patiently,
  ): Promise<StoredEquipments> {
    const startMs = clock();
    const outcome = await patiently(() =>
      store.store(results, finished, {
        clusterId,
        expectDuplicates: clock() - sawDuplicatesMs < EXPECT_MS,
      }),
    );
    const { duplicates, failed, letters } = outcome;
    if (duplicates > 0) sawDuplicatesMs = clock();
    observer.emit({
      type: "claim_readings",
      stored: outcome.stored,
      duplicates,
      failed,
      seconds: (clock() - startMs) / 1000,
    });
    if (letters.size > 0)
      observer.emit({ type: "dead_letters", counts: letters });
    return outcome;
  }

  return async function ingest(drafts, finished, patiently, turn) {
    try {
      return await storeOnce(drafts, finished, patiently, turn);
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
    await turn;
    // Something in one of them: each by itself, so that it harms no other.
    for (const draft of drafts) {
      try {
        await storeOnce([draft], [], patiently);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        await storeOnce([refused(draft, reasonOf(error))], [], patiently);
      }
    }
    return storeOnce([], finished, patiently);
  };
}

const isRefusal = (error: unknown): boolean =>
  error instanceof TwinstreamError && error.code === "STORE_REFUSED";

const refused = (draft: DraftEquipment, reason: string): DraftEquipment => ({
  ...draft,
  equipment: null,
  errors: [
    {
      path: `$[${draft.ordinal}]`,
      reason: `the database refused it: ${reason}`,
      deadLetterReason: "row_refused",
      payload: Buffer.alloc(0),
      tenant: draft.claim.tenant,
      deviceId: draft.equipment?.equipUuid ?? null,
    },
  ],
});
