/** Claim checks off the log: which claims are to be worked on, and which checks can never be. */
import { readClaimCheck } from "../domain/claim-check.js";
import { isFault } from "../domain/fault.js";
import type { LogRecord } from "../domain/message.js";
import type { DeadLetterReason } from "../errors.js";
import type { ObjectStore, UploadClaim, UploadStore } from "../ports.js";

export interface Triage {
  readonly open: readonly OpenClaim[];
  readonly poisoned: readonly PoisonedCheck[];
  /** Done by an earlier try or another worker. */
  readonly done: readonly UploadClaim[];
}

export interface OpenClaim {
  readonly record: LogRecord;
  readonly claim: UploadClaim;
}

export interface PoisonedCheck {
  readonly record: LogRecord;
  /** Null where the claim, if there is one, is not what is wrong. */
  readonly claimId: string | null;
  readonly reason: DeadLetterReason;
  readonly detail: string;
}

/** Takes the claims; a claim whose check comes twice counts once. */
export async function triage(
  records: readonly LogRecord[],
  store: Pick<UploadStore, "take">,
  reads: ObjectStore["type"],
): Promise<Triage> {
  const poisoned: PoisonedCheck[] = [];
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
  const open: OpenClaim[] = [];
  const done: UploadClaim[] = [];
  for (const [claimId, { record, key }] of checks) {
    const claim = claims?.get(claimId);
    const refuse = (detail: string, id: string | null = null): void => {
      poisoned.push({ record, claimId: id, reason: "bulk_invalid", detail });
    };
    if (claim === undefined) refuse(`there is no claim ${claimId}`);
    else if (claim.key !== key)
      // Whoever wrote this, the claim itself is another's.
      refuse(`claim ${claimId} is of another object than ${key}`);
    else if (claim.state === "receiving")
      refuse(`claim ${claimId} was announced before it was complete`);
    else if (claim.state === "done") done.push(claim);
    else if (claim.state !== "processing") continue;
    else if (claim.storageType === reads) open.push({ record, claim });
    else
      refuse(
        `its object is kept in ${claim.storageType}, this worker reads from ${reads}; reprocess it with a worker that reads from there`,
        claimId,
      );
  }
  return { open, poisoned, done };
}
