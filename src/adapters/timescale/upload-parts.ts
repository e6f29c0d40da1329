/** One transaction of uploads, claim by claim: what of it takes effect, and what comes to each claim. Purely. */
import { storable } from "../../domain/fault.js";
import type { Row } from "../../domain/device.js";
import type { DeadLetter } from "../../domain/message.js";
import { TOPIC } from "../../domain/names.js";
import { toIso } from "../../domain/time.js";
import type { DeadLetterReason } from "../../errors.js";
import type {
  BulkError,
  BulkRow,
  EquipmentResult,
  FinishedClaim,
} from "../../ports.js";
import type { StoredRows } from "./rows.js";

/** A claim's row, locked. */
export interface LockedClaim {
  readonly claim_id: string;
  readonly state: string;
  readonly next_equipment: number;
  readonly error_count: number;
  /** Errors that it shows already. */
  readonly shown: number;
  readonly log_partition: number;
  readonly log_offset: string;
}

/** A claim of the batch, and what comes to it. */
export interface Part {
  readonly locked: LockedClaim;
  readonly results: EquipmentResult[];
  next: number;
  done: boolean;
  readonly rows: BulkRow[];
  readonly counts: { stored: number; duplicates: number; failed: number };
  readonly letters: DeadLetter[];
  readonly shown: { path: string; reason: string }[];
}

/** The errors that a claim shows; all are in `ingest_errors`. */
const SHOWN_ERRORS = 100;

/**
 * Equipments below a claim's progress were stored by an earlier try or by another worker, and are left out; so are those
 * beyond it, whose worker works on a claim that was reopened meanwhile. `done`: the finished that are, now or already.
 */
export function partsOf(
  claims: readonly LockedClaim[],
  results: readonly EquipmentResult[],
  finished: readonly FinishedClaim[],
): { parts: Part[]; done: string[] } {
  const parts = new Map<string, Part>();
  const done = new Set<string>();
  for (const locked of claims) {
    if (locked.state === "done") done.add(locked.claim_id);
    if (locked.state !== "processing") continue;
    parts.set(locked.claim_id, {
      locked,
      results: [],
      next: locked.next_equipment,
      done: false,
      rows: [],
      counts: { stored: 0, duplicates: 0, failed: 0 },
      letters: [],
      shown: [],
    });
  }
  for (const result of results) {
    const part = parts.get(result.claimId);
    if (part === undefined || result.ordinal !== part.next) continue;
    part.next++;
    part.results.push(result);
    for (const row of result.rows) part.rows.push(row);
  }
  for (const { claimId, equipments } of finished) {
    const part = parts.get(claimId);
    if (part?.next !== equipments) continue;
    part.done = true;
    done.add(claimId);
  }
  return {
    parts: [...parts.values()],
    done: finished.flatMap(({ claimId }) =>
      done.has(claimId) ? [claimId] : [],
    ),
  };
}

export function fileRows(part: Part, stored: StoredRows): void {
  const { conflicts, refused } = stored;
  part.counts.stored = stored.stored;
  part.counts.duplicates = stored.duplicates;
  part.counts.failed = conflicts.length + refused.length;
  for (const { row, value, text } of conflicts)
    fileRow(part, row as BulkRow, {
      reason: "conflict",
      detail: `${nameOf(row)} holds ${JSON.stringify(text ?? value)} already; ${JSON.stringify(row.text ?? row.value)} came later`,
    });
  for (const { row, detail } of refused)
    fileRow(part, row as BulkRow, {
      reason: "row_refused",
      detail: `${nameOf(row)}: ${detail}`,
    });
}

function fileRow(
  part: Part,
  row: BulkRow,
  why: { reason: DeadLetterReason; detail: string },
): void {
  const { device, name, type } = row.sensor;
  const reading = {
    sensor_uuid: name,
    sensor_tipo: type,
    valor: row.text ?? row.value,
    timestamp: toIso(row.timeUs),
  };
  fileError(part, {
    path: `$[${row.ordinal}].sensor[${row.item}]`,
    reason: why.detail,
    deadLetterReason: why.reason,
    payload: Buffer.from(JSON.stringify(reading)),
    tenant: device.tenant,
    deviceId: device.deviceId,
  });
}

const nameOf = ({ sensor, timeUs }: Row): string =>
  `${sensor.name} of ${sensor.device.address} at ${toIso(timeUs)}`;

export function fileErrors(part: Part): void {
  for (const { errors, device } of part.results) {
    if (device !== null) part.counts.failed += errors.length;
    for (const error of errors) fileError(part, error);
  }
}

/** Under the claim check's place, with the claim's running number. */
function fileError(part: Part, error: BulkError): void {
  const { locked, letters, shown } = part;
  letters.push({
    source: {
      topic: TOPIC.uploads,
      partition: locked.log_partition,
      offset: Number(locked.log_offset),
      key: null,
      value: null,
      headers: {},
      timestampMs: 0,
    },
    reason: error.deadLetterReason,
    detail: `${error.path}: ${error.reason}`,
    tenant: error.tenant,
    deviceId: error.deviceId,
    topic: TOPIC.uploads,
    payload: error.payload,
    item: locked.error_count + letters.length,
    attempts: 1,
  });
  if (locked.shown + shown.length < SHOWN_ERRORS)
    shown.push({ path: error.path, reason: storable(error.reason) });
}
