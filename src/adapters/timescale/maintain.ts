/**
 * What has to be done now and then, by one process at a time: dead letters past their time are removed; on plain PostgreSQL
 * day partitions past the retention are dropped (TimescaleDB's own policy drops chunks); on TimescaleDB the aggregates are
 * refreshed over late rows. Runs as the role that logged in, because dropping a partition and refreshing an aggregate are
 * for their owner: DATABASE_URL's user must be the one that migrated, or a member of its role.
 */
import type { Session } from "./connect.js";
import { type Facts, readFacts } from "./facts.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Retention may be dropping a chunk right now; its buckets are left alone this long before. */
const MARGIN_MS = 10 * 60_000;
const DELETE_ROWS = 10_000;

/** Answers false when another process is at it. */
export async function maintain(session: Session): Promise<boolean> {
  await session.run("SET statement_timeout = 0");
  const [lock] = await session.rows<{ mine: boolean }>(
    "SELECT pg_try_advisory_lock(hashtext('twinstream.maintain')) AS mine",
  );
  if (lock?.mine !== true) return false;
  const facts = await readFacts(session);
  await removeOldLetters(session, facts.dlqRetentionDays);
  if (facts.engine === "timescaledb") await refreshLateBuckets(session, facts);
  else await dropOldPartitions(session, facts.rawRetentionDays);
  await session.run(
    "SELECT pg_advisory_unlock(hashtext('twinstream.maintain'))",
  );
  return true;
}

async function removeOldLetters(
  session: Session,
  retentionDays: number,
): Promise<void> {
  if (retentionDays === 0) return;
  let removed: number;
  do {
    removed = await session.run(
      `DELETE FROM ingest_errors WHERE id IN (
         SELECT id FROM ingest_errors WHERE ts < now() - make_interval(days => $1) ORDER BY ts LIMIT $2)`,
      [retentionDays, DELETE_ROWS],
    );
  } while (removed === DELETE_ROWS);
}

async function dropOldPartitions(
  session: Session,
  retentionDays: number,
): Promise<void> {
  if (retentionDays === 0) return;
  const keepFrom = new Date(Date.now() - retentionDays * DAY_MS);
  // The day that the retention ends in is kept, like a chunk that is partly within it.
  const firstKept = `telemetry_data_${keepFrom.toISOString().slice(0, 10).replaceAll("-", "")}`;
  const old = await session.rows<{ name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'store.telemetry_data'::regclass AND c.relname < $1 ORDER BY 1`,
    [firstKept],
  );
  for (const { name } of old) await session.run(`DROP TABLE store.${name}`);
}

/**
 * Exactly the noted buckets, neighbours together. A bucket whose chunk is (or is about to be) dropped is left as it is: a
 * refresh would compute it anew from what is no longer there.
 */
async function refreshLateBuckets(
  session: Session,
  facts: Facts,
): Promise<void> {
  const notes = await session.rows<{ id: string; bucket_ms: string }>(
    "SELECT id, (extract(epoch FROM bucket) * 1000)::bigint AS bucket_ms FROM store.late_buckets ORDER BY id",
  );
  if (notes.length === 0) return;
  const { rawRetentionDays: days, rawKeptFromMs } = facts;
  const keptFrom = Math.max(
    rawKeptFromMs,
    days === 0 ? 0 : Date.now() - days * DAY_MS + MARGIN_MS,
  );
  const dayOf = (ms: number) => Math.floor(ms / DAY_MS) * DAY_MS;
  const hours = notes
    .map((note) => Number(note.bucket_ms))
    .filter((hour) => dayOf(hour) + DAY_MS > keptFrom);
  await refresh(session, "store.telemetry_hourly", joined(hours, HOUR_MS));
  await refresh(
    session,
    "store.telemetry_daily",
    joined(hours.map(dayOf), DAY_MS),
  );
  await session.run(
    "DELETE FROM store.late_buckets WHERE id = ANY ($1::bigint[])",
    [notes.map((note) => note.id)],
  );
}

interface Span {
  readonly from: number;
  to: number;
}

/** Buckets as spans without overlap, oldest first. */
function joined(buckets: readonly number[], width: number): Span[] {
  const spans: Span[] = [];
  for (const from of [...new Set(buckets)].sort((a, b) => a - b)) {
    const last = spans.at(-1);
    if (last?.to === from) last.to = from + width;
    else spans.push({ from, to: from + width });
  }
  return spans;
}

async function refresh(
  session: Session,
  aggregate: string,
  spans: readonly Span[],
): Promise<void> {
  for (const { from, to } of spans)
    await session.run(
      "CALL refresh_continuous_aggregate($1::regclass, $2::timestamptz, $3::timestamptz)",
      [aggregate, new Date(from).toISOString(), new Date(to).toISOString()],
    );
}
