/**
 * What uploads hold, into the log and the database. Small ones are held whole and stored in one transaction for all of them.
 * A large one is read through: of its equipments some are being stored, the next are being looked up and told of, and those
 * after them are being read, no more.
 */
import type { ArrayElement } from "../domain/json-array.js";
import type { Judge } from "../domain/judge.js";
import type { FinishedClaim, ObjectStore, UploadClaim } from "../ports.js";
import type { Patiently } from "./patience.js";
import { draftOf, type DraftEquipment } from "./upload-equipments.js";
import type { Ingest } from "./upload-ingest.js";
import {
  elementsOf,
  PoisonedUpload,
  type ReadLimits,
} from "./upload-reader.js";

export interface ContentDeps {
  readonly objects: ObjectStore;
  readonly ingest: Ingest;
  readonly judge: Pick<Judge, "time" | "age">;
  readonly limits: ReadLimits;
  /** Readings that one transaction holds at least, while there are as many. */
  readonly batchReadings: number;
}

export interface Contents {
  /** Stores them together; answers those that are done, and those that are poisoned, of which nothing is stored. */
  storeSmall(
    claims: readonly UploadClaim[],
    patiently: Patiently,
  ): Promise<{ done: UploadClaim[]; poisoned: UploadClaim[] }>;
  /**
   * From where the claim's progress stands; answers whether it is done. What comes before a fault is stored.
   * @throws PoisonedUpload; the signal's reason
   */
  storeLarge(
    claim: UploadClaim,
    patiently: Patiently,
    signal?: AbortSignal,
  ): Promise<boolean>;
}

/**
 * A transaction is not made of fewer readings than this while there are more: its round trips and its COMMIT share the process
 * with the reading of what comes next, and took as long as the COPY itself at 10,000, a third of it at 20,000.
 */
const LEAST_READINGS = 50_000;
/** Nor of more text or equipments than this. */
const MOST_BYTES = 10 * 1024 * 1024;
const MOST_EQUIPMENTS = 5000;

interface Whole {
  readonly claim: UploadClaim;
  readonly drafts: readonly DraftEquipment[];
  readonly equipments: number;
}

export function createContents(deps: ContentDeps): Contents {
  const { objects, ingest, judge, limits } = deps;
  const fullAt = Math.max(deps.batchReadings, LEAST_READINGS);

  const elements = (claim: UploadClaim): AsyncIterable<ArrayElement[]> =>
    elementsOf(objects, claim, limits);

  /** Null for one that is poisoned. */
  async function readWhole(claim: UploadClaim): Promise<Whole | null> {
    const drafts: DraftEquipment[] = [];
    let equipments = 0;
    try {
      for await (const some of elements(claim))
        for (const element of some) {
          equipments++;
          if (element.ordinal >= claim.nextEquipment)
            drafts.push(draftOf(claim, element, judge));
        }
    } catch (error) {
      if (error instanceof PoisonedUpload) return null;
      throw error;
    }
    return { claim, drafts, equipments };
  }

  return {
    async storeSmall(claims, patiently) {
      const read = await Promise.all(claims.map(readWhole));
      const whole = read.filter((one) => one !== null);
      const poisoned = claims.filter((_, i) => read[i] === null);
      if (whole.length === 0) return { done: [], poisoned };
      const finished: FinishedClaim[] = whole.map(({ claim, equipments }) => ({
        claimId: claim.claimId,
        equipments,
      }));
      const drafts = whole.flatMap((one) => one.drafts);
      const ids = new Set(await ingest(drafts, finished, patiently));
      const done = claims.filter(({ claimId }) => ids.has(claimId));
      return { done, poisoned };
    },

    async storeLarge(claim, patiently, signal) {
      const { claimId } = claim;
      let equipments = 0;
      let gathering = createGathering();
      /** The ingests on their way: the older is being stored, the newer prepared. */
      let older: Promise<unknown> = Promise.resolve();
      let newer = older;
      const flush = async (): Promise<void> => {
        const { drafts } = gathering;
        gathering = createGathering();
        await older;
        older = newer;
        newer = ingest(drafts, [], patiently, older);
        // Its failure is met where it is waited for.
        newer.catch(() => undefined);
      };
      try {
        for await (const some of elements(claim)) {
          signal?.throwIfAborted();
          for (const element of some) {
            equipments++;
            if (element.ordinal < claim.nextEquipment) continue;
            gathering.add(draftOf(claim, element, judge));
            if (gathering.isFull(fullAt)) await flush();
          }
        }
      } catch (error) {
        if (error instanceof PoisonedUpload) await flush();
        await newer;
        throw error;
      }
      const finished = [{ claimId, equipments }];
      const done = await ingest(gathering.drafts, finished, patiently, newer);
      return done.includes(claimId);
    },
  };
}

interface Gathering {
  readonly drafts: DraftEquipment[];
  add(draft: DraftEquipment): void;
  isFull(readings: number): boolean;
}

function createGathering(): Gathering {
  const drafts: DraftEquipment[] = [];
  let readings = 0;
  let bytes = 0;
  return {
    drafts,
    add(draft) {
      drafts.push(draft);
      const { equipment, errors } = draft;
      readings += (equipment?.sensors.length ?? 0) + errors.length;
      bytes += draft.bytes;
    },
    isFull: (most) =>
      readings >= most ||
      bytes >= MOST_BYTES ||
      drafts.length >= MOST_EQUIPMENTS,
  };
}
