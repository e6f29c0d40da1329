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

export interface RowWriter {
  storeRows(
    session: Session,
    rows: readonly Row[],
    expectDuplicates: boolean,
  ): Promise<StoredRows>;
  /** Straight or not at all: false when the rows must go another way. */
  storeNew(session: Session, rows: readonly Row[]): Promise<boolean>;
}

/** Encoders hold their buffer while a COPY is under way, so each flush in progress borrows one. */
export function createRowWriter(): RowWriter {
  const idle: RowEncoder[] = [];

  async function borrowed<T>(
    work: (encoder: RowEncoder) => Promise<T>,
  ): Promise<T> {
    const encoder = idle.pop() ?? createRowEncoder();
    const answer = await work(encoder);
    idle.push(encoder);
    return answer;
  }

  return {
    storeRows: (session, rows, expectDuplicates) =>
      borrowed(async (encoder) => {
        if (rows.length === 0) return NOTHING;
        if (!expectDuplicates && (await straight(session, encoder, rows)))
          return { ...NOTHING, stored: rows.length };
        return stagedOrBisected(session, encoder, rows);
      }),
    storeNew: (session, rows) =>
      borrowed((encoder) => straight(session, encoder, rows)),
  };
}

const NOTHING: StoredRows = {
  stored: 0,
  duplicates: 0,
  conflicts: [],
  refused: [],
};

/** The savepoint travels with the COPY. */
const COPY = `
  SAVEPOINT rows;
  COPY store.telemetry_data ${ROW_COLUMNS} FROM STDIN (FORMAT binary);
  RELEASE SAVEPOINT rows`;

/** False when the rows must go another way. */
async function straight(
  session: Session,
  encoder: RowEncoder,
  rows: readonly Row[],
): Promise<boolean> {
  try {
    await session.copy(COPY, encoder.encode(rows));
    return true;
  } catch (error) {
    const state = sqlState(error);
    if (
      state !== UNIQUE_VIOLATION &&
      state !== DECOMPRESSION_LIMIT &&
      !isRefusedData(error)
    )
      throw error;
    await session.script([
      "ROLLBACK TO SAVEPOINT rows",
      "RELEASE SAVEPOINT rows",
    ]);
    return false;
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
