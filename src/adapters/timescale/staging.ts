/**
 * Rows by way of a staging table, when some of them may be in the database already. The first in log order wins, also within
 * one flush; a row that meets an equal one is a duplicate, one that meets another value a conflict.
 */
import type { Row } from "../../domain/device.js";
import { type RowEncoder, STAGED_COLUMNS } from "./binary-copy.js";
import type { Session } from "./connect.js";

export interface Conflict {
  readonly row: Row;
  /** What stands in its place. */
  readonly value: number | null;
  readonly text: string | null;
}

const TABLE = `
  CREATE TEMP TABLE IF NOT EXISTS staging (
    ordinal int, time timestamptz, sensor_id int, value float8, text_value text
  ) ON COMMIT DELETE ROWS`;

/** No limit to decompression: duplicates in a columnstore chunk are looked for however many rows that takes. */
const NO_DECOMPRESSION_LIMIT =
  "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0";

const INSERT = `
  INSERT INTO store.telemetry_data (time, sensor_id, value, text_value)
  SELECT time, sensor_id, value, text_value FROM pg_temp.staging ORDER BY ordinal
  ON CONFLICT DO NOTHING`;

/** LATERAL with LIMIT: one look into the unique index a row, whatever the planner thinks of a table without statistics. */
const COMPARE = `
  SELECT g.ordinal, stands.value, stands.text_value
  FROM pg_temp.staging g
  CROSS JOIN LATERAL (
    SELECT d.value, d.text_value FROM store.telemetry_data d
    WHERE d.sensor_id = g.sensor_id AND d.time = g.time LIMIT 1
  ) stands
  WHERE (stands.value, stands.text_value) IS DISTINCT FROM (g.value, g.text_value)
  ORDER BY g.ordinal`;

/** Runs within a transaction. Rows neither stored nor in conflict are duplicates. */
export async function insertStaged(
  session: Session,
  encoder: RowEncoder,
  rows: readonly Row[],
): Promise<{ stored: number; conflicts: Conflict[] }> {
  await session.run(
    `${TABLE}; TRUNCATE pg_temp.staging; ${NO_DECOMPRESSION_LIMIT}`,
  );
  await session.copy(
    `COPY pg_temp.staging ${STAGED_COLUMNS} FROM STDIN (FORMAT binary)`,
    encoder.encode(rows, true),
  );
  const stored = await session.run(INSERT);
  if (stored === rows.length) return { stored, conflicts: [] };
  const differing = await session.rows<{
    ordinal: number;
    value: number | null;
    text_value: string | null;
  }>(COMPARE);
  return {
    stored,
    conflicts: differing.map((found) => ({
      row: rows[found.ordinal]!,
      value: found.value,
      text: found.text_value,
    })),
  };
}
