/**
 * Equipments of one or several claims in one transaction, in as few round trips as there can be: each waits for the process
 * that is reading what comes next, ten of them took longer than the COPY.
 *
 *   BEGIN, the claims' rows locked → rows → dead letters → late hours, names, progress, `done` for the finished, COMMIT
 *
 * The lock decides what takes effect: see upload-parts.ts.
 */
import type { Row } from "../../domain/device.js";
import type { DeadLetterReason } from "../../errors.js";
import type {
  EquipmentResult,
  FinishedClaim,
  StoredEquipments,
} from "../../ports.js";
import { literal, type Session } from "./connect.js";
import { storeDeadLetters } from "./dead-letters.js";
import type { Facts } from "./facts.js";
import { lateRowsNote } from "./late-rows.js";
import type { RowWriter } from "./rows.js";
import {
  fileErrors,
  fileRows,
  type LockedClaim,
  type Part,
  partsOf,
} from "./upload-parts.js";

export interface UploadTools {
  readonly facts: Facts;
  readonly rows: RowWriter;
  readonly ensurePartitions: (rows: readonly Row[]) => Promise<void>;
}

export interface UploadBatch {
  readonly results: readonly EquipmentResult[];
  readonly finished: readonly FinishedClaim[];
  readonly clusterId: string;
  readonly expectDuplicates: boolean;
}

export async function storeEquipments(
  session: Session,
  tools: UploadTools,
  { results, finished, clusterId, expectDuplicates }: UploadBatch,
): Promise<StoredEquipments> {
  const ids = new Set([...results, ...finished].map(({ claimId }) => claimId));
  const locked = await session.script<LockedClaim>(["BEGIN", lockOf([...ids])]);
  const { parts, done } = partsOf(locked, results, finished);
  await storeRows(session, tools.rows, parts, expectDuplicates);
  for (const part of parts) fileErrors(part);
  const letters = parts.flatMap((part) => part.letters);
  await storeDeadLetters(session, letters, clusterId);
  const rows = parts.flatMap((part) => part.rows);
  await session.script([
    ...[lateRowsNote(tools.facts, rows), namesOf(parts)].flatMap(
      (statement) => statement ?? [],
    ),
    progressOf(parts),
    "COMMIT",
  ]);
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

/** All claims' rows at once; where some are there already each claim's by themselves, so that each has its own counts. */
async function storeRows(
  session: Session,
  writer: RowWriter,
  parts: readonly Part[],
  expectDuplicates: boolean,
): Promise<void> {
  const filled = parts.filter(({ rows }) => rows.length > 0);
  if (filled.length === 0) return;
  const all = sorted(filled.flatMap(({ rows }) => rows));
  if (!expectDuplicates && (await writer.storeNew(session, all))) {
    for (const { counts, rows } of filled) counts.stored = rows.length;
    return;
  }
  for (const part of filled)
    fileRows(part, await writer.storeRows(session, sorted(part.rows), true));
}

/**
 * By (sensor, time), equal ones in their order: the index then grows in its own. By sensor first, since a sensor's readings
 * mostly come in the order of time.
 */
function sorted<T extends Row>(rows: readonly T[]): T[] {
  const bySensor = new Map<number, T[]>();
  for (const row of rows) {
    const others = bySensor.get(row.sensor.id);
    if (others === undefined) bySensor.set(row.sensor.id, [row]);
    else others.push(row);
  }
  return [...bySensor]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([, some]) => some.sort((a, b) => a.timeUs - b.timeUs));
}

const lockOf = (claimIds: readonly string[]): string => `
  SELECT claim_id, state, next_equipment, error_count, jsonb_array_length(errors) AS shown, log_partition, log_offset
  FROM claims WHERE claim_id = ANY (ARRAY[${claimIds.map(literal).join()}]::text[]) ORDER BY claim_id FOR UPDATE`;

/** The last name that the uploads give each equipment; null where they give none. */
function namesOf(parts: readonly Part[]): string | null {
  const names = new Map<number, string>();
  for (const { results } of parts)
    for (const { device, name } of results)
      if (device !== null && name !== null) names.set(device.equipmentId, name);
  if (names.size === 0) return null;
  const given = [...names]
    .toSorted(([a], [b]) => a - b)
    .map(([id, name]) => `(${id},${literal(name)})`);
  return `
    UPDATE equipments e SET equip_nome = n.name FROM (VALUES ${given.join()}) AS n (id, name)
    WHERE e.id = n.id AND e.equip_nome IS DISTINCT FROM n.name`;
}

function progressOf(parts: readonly Part[]): string {
  const moved = parts.map((part) => {
    const failed = part.results.filter(({ device }) => device === null).length;
    const { locked, next, results, counts, letters, shown, done } = part;
    return {
      id: locked.claim_id,
      next,
      stored: results.length - failed,
      failed,
      rows_stored: counts.stored,
      rows_duplicate: counts.duplicates,
      rows_failed: counts.failed,
      errors: letters.length,
      shown,
      done,
    };
  });
  return `
    UPDATE claims c SET
      next_equipment = p.next, equipments_stored = c.equipments_stored + p.stored,
      equipments_failed = c.equipments_failed + p.failed, readings_stored = c.readings_stored + p.rows_stored,
      readings_duplicate = c.readings_duplicate + p.rows_duplicate, readings_failed = c.readings_failed + p.rows_failed,
      error_count = c.error_count + p.errors, errors = c.errors || p.shown,
      state = CASE WHEN p.done THEN 'done' ELSE c.state END,
      equipments_total = CASE WHEN p.done THEN p.next END, finished_at = CASE WHEN p.done THEN now() END
    FROM jsonb_to_recordset(${literal(JSON.stringify(moved))}::jsonb)
      AS p (id text, next int, stored int, failed int, rows_stored bigint, rows_duplicate bigint, rows_failed bigint,
            errors int, shown jsonb, done boolean)
    WHERE c.claim_id = p.id`;
}
