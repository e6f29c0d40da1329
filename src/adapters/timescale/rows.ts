/**
 * Rows into the hypertable, within the flush's transaction. Three ways, each behind the savepoint that the one before it
 * rolls back to:
 * - straight: one binary COPY, the usual case;
 * - staged: when a row is already there (23505, or 53400 where the columnstore gives up looking): see staging.ts;
 * - bisected: when the database refuses a row for what it contains: the halves are staged until the row is found.
 */
import type { Row } from "../../domain/device.js";
import type { RefusedRow } from "../../ports.js";
import {
  createRowEncoder,
  ROW_COLUMNS,
  type RowEncoder,
} from "./binary-copy.js";
import { type Session, storableReason } from "./connect.js";
import {
  DECOMPRESSION_LIMIT,
  isRefusedData,
  sqlState,
  UNIQUE_VIOLATION,
} from "./database-errors.js";
import { type Conflict, insertStaged } from "./staging.js";

export interface StoredRows {
  readonly stored: number;
  readonly duplicates: number;
  readonly conflicts: readonly Conflict[];
  readonly refused: readonly RefusedRow[];
}

/** Encoders hold their buffer while a COPY is under way, so each flush in progress borrows one. */
export function createRowWriter() {
  const idle: RowEncoder[] = [];

  return async function storeRows(
    session: Session,
    rows: readonly Row[],
    expectDuplicates: boolean,
  ): Promise<StoredRows> {
    if (rows.length === 0)
      return { stored: 0, duplicates: 0, conflicts: [], refused: [] };
    const encoder = idle.pop() ?? createRowEncoder();
    await session.run("SAVEPOINT rows");
    const stored =
      (expectDuplicates ? null : await straight(session, encoder, rows)) ??
      (await stagedOrBisected(session, encoder, rows));
    await session.run("RELEASE SAVEPOINT rows");
    idle.push(encoder);
    return stored;
  };
}

/** Null when the rows must go another way. */
async function straight(
  session: Session,
  encoder: RowEncoder,
  rows: readonly Row[],
): Promise<StoredRows | null> {
  try {
    await session.copy(
      `COPY store.telemetry_data ${ROW_COLUMNS} FROM STDIN (FORMAT binary)`,
      encoder.encode(rows),
    );
    return { stored: rows.length, duplicates: 0, conflicts: [], refused: [] };
  } catch (error) {
    const state = sqlState(error);
    if (
      state !== UNIQUE_VIOLATION &&
      state !== DECOMPRESSION_LIMIT &&
      !isRefusedData(error)
    )
      throw error;
    await session.run("ROLLBACK TO SAVEPOINT rows");
    return null;
  }
}

async function stagedOrBisected(
  session: Session,
  encoder: RowEncoder,
  rows: readonly Row[],
): Promise<StoredRows> {
  const total = {
    stored: 0,
    duplicates: 0,
    conflicts: [] as Conflict[],
    refused: [] as RefusedRow[],
  };
  /** Ranges still to store, the next one last: halves go in log order, so that the first value of an instant wins. */
  const ranges: (readonly Row[])[] = [rows];
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    await session.run("SAVEPOINT range");
    try {
      const { stored, conflicts } = await insertStaged(session, encoder, range);
      await session.run("RELEASE SAVEPOINT range");
      total.stored += stored;
      total.duplicates += range.length - stored - conflicts.length;
      total.conflicts.push(...conflicts);
    } catch (error) {
      if (!isRefusedData(error)) throw error;
      await session.run("ROLLBACK TO SAVEPOINT range");
      if (range.length === 1) {
        total.refused.push({ row: range[0]!, detail: storableReason(error) });
      } else {
        const middle = range.length >>> 1;
        ranges.push(range.slice(middle), range.slice(0, middle));
      }
    }
  }
  return total;
}
