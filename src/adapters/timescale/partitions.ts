/** Day partitions of a PostgreSQL without TimescaleDB, made before the flush that needs them, in a transaction of their own. */
import type { Row } from "../../domain/device.js";
import type { Database } from "./connect.js";

const DAY_US = 86_400_000_000;
const DAY_MS = 86_400_000;

/**
 * Remembers which days are there, but for days so old that retention may have dropped them since: those are asked for with
 * each flush, and there are few.
 */
export function createPartitionKeeper(
  database: Database,
  rawRetentionDays: number,
) {
  const known = new Set<number>();

  return async function ensurePartitions(rows: readonly Row[]): Promise<void> {
    const missing = new Set<number>();
    let last = Number.NaN;
    for (const { timeUs } of rows) {
      const day = Math.floor(timeUs / DAY_US);
      if (day === last) continue;
      last = day;
      if (!known.has(day)) missing.add(day);
    }
    if (missing.size === 0) return;
    const days = [...missing];
    await database.use("make partitions", (session) =>
      session.run("SELECT store.ensure_partitions($1::date[])", [
        days.map((day) => new Date(day * DAY_MS).toISOString().slice(0, 10)),
      ]),
    );
    const today = Math.floor(Date.now() / DAY_MS);
    for (const day of days)
      if (rawRetentionDays === 0 || day > today - rawRetentionDays)
        known.add(day);
  };
}
