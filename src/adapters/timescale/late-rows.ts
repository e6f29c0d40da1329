/**
 * Rows that come later than the aggregates' refresh policies look back: the flush notes their hours, and maintenance
 * refreshes exactly those. A row is noted rather a little too soon than missed.
 */
import type { Row } from "../../domain/device.js";
import type { Session } from "./connect.js";
import type { Facts } from "./facts.js";

const HOUR_US = 3_600_000_000;

export async function noteLateRows(
  session: Session,
  facts: Facts,
  rows: readonly Row[],
): Promise<void> {
  const note = lateRowsNote(facts, rows);
  if (note !== null) await session.run(note);
}

/** The statement that notes them; null where there is nothing to note. */
export function lateRowsNote(
  { engine, noteLateAfterMs }: Facts,
  rows: readonly Row[],
): string | null {
  if (engine !== "timescaledb") return null;
  const lateBeforeUs = (Date.now() - noteLateAfterMs) * 1000;
  const hours = new Set<number>();
  for (const { timeUs } of rows)
    if (timeUs < lateBeforeUs) hours.add(Math.floor(timeUs / HOUR_US));
  if (hours.size === 0) return null;
  return `INSERT INTO store.late_buckets (bucket)
    SELECT to_timestamp(hour * 3600) FROM unnest(ARRAY[${[...hours].join()}]::bigint[]) AS hour`;
}
