/** An element of an upload's array as what can be stored of it and what cannot: purely, before any device is looked up. */
import { isUtf8 } from "node:buffer";
import {
  type BulkEquipment,
  type BulkFault,
  readEquipment,
} from "../domain/bulk.js";
import type { ArrayElement } from "../domain/json-array.js";
import type { Judge } from "../domain/judge.js";
import { reasonOf, type DeadLetterReason } from "../errors.js";
import type { BulkError, UploadClaim } from "../ports.js";

export interface DraftEquipment {
  readonly claim: UploadClaim;
  readonly ordinal: number;
  /** Null when nothing of it can be stored. */
  readonly equipment: BulkEquipment | null;
  readonly errors: readonly BulkError[];
  /** Bytes of its text. */
  readonly bytes: number;
}

/** One more than a dead letter's row keeps, so that the row says that there was more. */
const PAYLOAD_BYTES = 64 * 1024 + 1;

export function draftOf(
  claim: UploadClaim,
  element: ArrayElement,
  judge: Pick<Judge, "time" | "age">,
): DraftEquipment {
  const { ordinal, bytes } = element;
  const path = `$[${ordinal}]`;
  const refuse = (
    reason: string,
    deadLetterReason: DeadLetterReason,
  ): DraftEquipment => ({
    claim,
    ordinal,
    equipment: null,
    bytes: bytes?.length ?? 0,
    errors: [
      {
        path,
        reason,
        deadLetterReason,
        payload: headOf(bytes ?? Buffer.alloc(0)),
        tenant: claim.tenant,
        deviceId: null,
      },
    ],
  });
  if (bytes === null) return refuse(element.skipped, "too_large");
  if (!isUtf8(bytes)) return refuse("not UTF-8", "parse_error");
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    return refuse(`not JSON: ${reasonOf(error)}`, "parse_error");
  }
  const rules = { judge, receivedUs: claim.receivedMs * 1000 };
  const { equipment, errors } = readEquipment(value, path, rules);
  const deviceId = equipment?.equipUuid ?? null;
  return {
    claim,
    ordinal,
    equipment,
    bytes: bytes.length,
    errors: errors.map((fault) => errorOf(fault, claim.tenant, deviceId)),
  };
}

const errorOf = (
  { path, reason, deadLetterReason, given }: BulkFault,
  tenant: string,
  deviceId: string | null,
): BulkError => ({
  path,
  reason,
  deadLetterReason,
  payload: headOf(Buffer.from(JSON.stringify(given))),
  tenant,
  deviceId,
});

/** A copy: what it is cut from would be kept as a whole. */
const headOf = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.subarray(0, PAYLOAD_BYTES));
