/**
 * Equipments of one or several claims in one transaction:
 *
 *   the claims' rows locked → rows → names → dead letters → progress, and `done` for the finished
 *
 * The lock decides: equipments below a claim's progress were stored by an earlier try or by another worker, and are left
 * out; so are those beyond it, whose worker works on a claim that was reopened meanwhile.
 */
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
  StoredEquipments,
} from "../../ports.js";
import type { Session } from "./connect.js";
import { storeDeadLetters } from "./dead-letters.js";
import type { Facts } from "./facts.js";
import { noteLateRows } from "./late-rows.js";
import type { createRowWriter, StoredRows } from "./rows.js";

export interface UploadTools {
  readonly facts: Facts;
  readonly storeRows: ReturnType<typeof createRowWriter>;
  readonly ensurePartitions: (rows: readonly Row[]) => Promise<void>;
}

export interface UploadBatch {
  readonly results: readonly EquipmentResult[];
  readonly finished: readonly FinishedClaim[];
  readonly clusterId: string;
  readonly expectDuplicates: boolean;
}

/** The errors that a claim shows; all are in `ingest_errors`. */
const SHOWN_ERRORS = 100;

const LOCK = `
  SELECT claim_id, state, next_equipment, error_count, jsonb_array_length(errors) AS shown, log_partition, log_offset
  FROM claims WHERE claim_id = ANY ($1::text[]) ORDER BY claim_id FOR UPDATE`;

const NAMES = `
  UPDATE equipments e SET equip_nome = n.name
  FROM unnest($1::int[], $2::text[]) AS n (id, name)
  WHERE e.id = n.id AND e.equip_nome IS DISTINCT FROM n.name`;

const PROGRESS = `
  UPDATE claims c SET
    next_equipment = p.next, equipments_stored = c.equipments_stored + p.stored,
    equipments_failed = c.equipments_failed + p.failed, readings_stored = c.readings_stored + p.rows_stored,
    readings_duplicate = c.readings_duplicate + p.rows_duplicate, readings_failed = c.readings_failed + p.rows_failed,
    error_count = c.error_count + p.errors, errors = c.errors || p.shown::jsonb,
    state = CASE WHEN p.done THEN 'done' ELSE c.state END,
    equipments_total = CASE WHEN p.done THEN p.next END, finished_at = CASE WHEN p.done THEN now() END
  FROM unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::text[],
              $10::boolean[])
    AS p (id, next, stored, failed, rows_stored, rows_duplicate, rows_failed, errors, shown, done)
  WHERE c.claim_id = p.id`;

interface LockedRow {
  claim_id: string;
  state: string;
  next_equipment: number;
  error_count: number;
  shown: number;
  log_partition: number;
  log_offset: string;
}

/** A claim of the batch, and what comes to it. */
interface Part {
  readonly locked: LockedRow;
  readonly results: EquipmentResult[];
  next: number;
  done: boolean;
  readonly rows: BulkRow[];
  readonly counts: { stored: number; duplicates: number; failed: number };
  readonly letters: DeadLetter[];
  readonly shown: { path: string; reason: string }[];
}

/** The row writer, given rows by (sensor, time): the index then grows in its own order. Equal ones keep theirs. */
export function storeSorted(
  storeRows: ReturnType<typeof createRowWriter>,
): ReturnType<typeof createRowWriter> {
  return (session, rows, expectDuplicates) =>
    storeRows(
      session,
      rows.toSorted((a, b) => a.sensor.id - b.sensor.id || a.timeUs - b.timeUs),
      expectDuplicates,
    );
}

export async function storeEquipments(
  session: Session,
  tools: UploadTools,
  batch: UploadBatch,
): Promise<StoredEquipments> {
  const { parts, done } = await lockedParts(session, batch);
  await storeRows(session, tools, parts, batch.expectDuplicates);
  for (const part of parts) fileErrors(part);
  await noteLateRows(
    session,
    tools.facts,
    parts.flatMap(({ rows }) => rows),
  );
  await storeNames(session, parts);
  const letters = parts.flatMap((part) => part.letters);
  await storeDeadLetters(session, letters, batch.clusterId);
  await moveProgress(session, parts);
  const byReason = new Map<DeadLetterReason, number>();
  for (const { reason } of letters)
    byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  const sum = (of: (part: Part) => number): number =>
    parts.reduce((total, part) => total + of(part), 0);
  return {
    stored: sum(({ counts }) => counts.stored),
    duplicates: sum(({ counts }) => counts.duplicates),
    failed: sum(({ counts }) => counts.failed),
    letters: byReason,
    done,
  };
}

async function lockedParts(
  session: Session,
  { results, finished }: UploadBatch,
): Promise<{ parts: Part[]; done: string[] }> {
  const ids = new Set([...results, ...finished].map(({ claimId }) => claimId));
  const rows = await session.rows<LockedRow>(LOCK, [[...ids]]);
  const parts = new Map<string, Part>();
  const done = new Set<string>();
  for (const locked of rows) {
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

/** All claims' rows at once; where some are there already each claim's by themselves, so that each has its own counts. */
async function storeRows(
  session: Session,
  tools: UploadTools,
  parts: readonly Part[],
  expectDuplicates: boolean,
): Promise<void> {
  const filled = parts.filter(({ rows }) => rows.length > 0);
  if (filled.length > 1 && !expectDuplicates) {
    await session.run("SAVEPOINT together");
    const together = await tools.storeRows(
      session,
      filled.flatMap(({ rows }) => rows),
      false,
    );
    if (
      together.stored === filled.reduce((n, { rows }) => n + rows.length, 0)
    ) {
      for (const { counts, rows } of filled) counts.stored = rows.length;
      return;
    }
    await session.run("ROLLBACK TO SAVEPOINT together");
  }
  for (const part of filled) {
    const expected = expectDuplicates || filled.length > 1;
    fileRows(part, await tools.storeRows(session, part.rows, expected));
  }
}

function fileRows(part: Part, stored: StoredRows): void {
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
    path: row.path,
    reason: why.detail,
    deadLetterReason: why.reason,
    payload: Buffer.from(JSON.stringify(reading)),
    tenant: device.tenant,
    deviceId: device.deviceId,
  });
}

const nameOf = ({ sensor, timeUs }: Row): string =>
  `${sensor.name} of ${sensor.device.address} at ${toIso(timeUs)}`;

function fileErrors(part: Part): void {
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

/** The last name that the upload gives an equipment. */
async function storeNames(
  session: Session,
  parts: readonly Part[],
): Promise<void> {
  const names = new Map<number, string>();
  for (const { device, name } of parts.flatMap(({ results }) => results))
    if (device !== null && name !== null) names.set(device.equipmentId, name);
  if (names.size === 0) return;
  const sorted = [...names].toSorted(([a], [b]) => a - b);
  await session.run(NAMES, [
    sorted.map(([id]) => id),
    sorted.map(([, name]) => name),
  ]);
}

async function moveProgress(
  session: Session,
  parts: readonly Part[],
): Promise<void> {
  if (parts.length === 0) return;
  const failed = ({ results }: Part): number =>
    results.filter(({ device }) => device === null).length;
  await session.run(PROGRESS, [
    parts.map(({ locked }) => locked.claim_id),
    parts.map(({ next }) => next),
    parts.map((part) => part.results.length - failed(part)),
    parts.map(failed),
    parts.map(({ counts }) => counts.stored),
    parts.map(({ counts }) => counts.duplicates),
    parts.map(({ counts }) => counts.failed),
    parts.map(({ letters }) => letters.length),
    parts.map(({ shown }) => JSON.stringify(shown)),
    parts.map(({ done }) => done),
  ]);
}
