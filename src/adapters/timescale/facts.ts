/** What migrate wrote down about this database, read once by each process. */
import type { Session } from "./connect.js";
import { TwinstreamError } from "../../errors.js";

export interface Facts {
  readonly engine: "timescaledb" | "postgresql";
  /** 0 keeps for ever. */
  readonly rawRetentionDays: number;
  /** Rows before it may have been dropped by a shorter retention of earlier times, Unix milliseconds; 0 when none were. */
  readonly rawKeptFromMs: number;
  /** 0 keeps for ever. */
  readonly dlqRetentionDays: number;
  /** Rows older than this may miss the refresh policies, milliseconds. */
  readonly noteLateAfterMs: number;
}

/** @throws TwinstreamError STORE_NOT_MIGRATED */
export async function readFacts(session: Session): Promise<Facts> {
  const [row] = await session.rows<{
    engine: Facts["engine"];
    raw_retention_days: number;
    dlq_retention_days: number;
    late_s: number;
    kept_from_s: number | null;
  }>(
    `SELECT engine, raw_retention_days, dlq_retention_days, extract(epoch FROM note_late_after)::float8 AS late_s,
            extract(epoch FROM raw_kept_from)::float8 AS kept_from_s
     FROM store.settings`,
  );
  if (row === undefined) throw new TwinstreamError("STORE_NOT_MIGRATED");
  return {
    engine: row.engine,
    rawRetentionDays: row.raw_retention_days,
    dlqRetentionDays: row.dlq_retention_days,
    rawKeptFromMs: (row.kept_from_s ?? 0) * 1000,
    noteLateAfterMs: row.late_s * 1000,
  };
}
