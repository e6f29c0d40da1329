/**
 * How the stores stand, for gauges, in one short transaction: what the catalog and the aggregates say as the role that logged
 * in, like `store status`; then what has not ended, of all tenants, as the writer.
 */
import { TwinstreamError } from "../../errors.js";
import type {
  Open,
  OpenClaimState,
  OpenCommandState,
  StandingReader,
  StoredChunks,
  StoreStanding,
} from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";
import { readFacts } from "./facts.js";
import {
  CHUNKS,
  PARTITIONS,
  readAggregates,
  readPolicies,
} from "./store-status.js";

const DEADLINE_MS = 20_000;
const DAY_S = 86_400;

const chunksByKind = (chunks: string) => `
  SELECT CASE WHEN is_compressed THEN 'columnstore' ELSE 'row' END AS kind, count(*)::int AS count,
         COALESCE(sum(total_bytes), 0)::float8 AS bytes,
         extract(epoch FROM now() - min(range_end))::float8 AS oldest
  FROM (${chunks}) AS chunk GROUP BY is_compressed`;

/** Whoever logs in need not own the table: without it no figure, not no gauges. */
const MAY_READ_LATE = `SELECT COALESCE(has_table_privilege(to_regclass('store.late_buckets'), 'SELECT'), false) AS may`;
const LATE = `SELECT count(*)::int AS n FROM store.late_buckets`;

const OPEN_CLAIMS = `
  SELECT state, count(*)::int AS count, sum(file_size)::float8 AS bytes,
         GREATEST(0, extract(epoch FROM now() - min(received_at)))::float8 AS "oldestSeconds"
  FROM claims WHERE state IN ('receiving', 'stored', 'processing') GROUP BY state`;
const OPEN_COMMANDS = `
  SELECT state, count(*)::int AS count, 0 AS bytes,
         GREATEST(0, extract(epoch FROM now() - min(created_at)))::float8 AS "oldestSeconds"
  FROM commands WHERE state IN ('queued', 'sent', 'delivered') GROUP BY state`;
const OVERDUE = `
  SELECT count(*)::int AS n FROM commands
  WHERE state IN ('accepted', 'queued', 'sent', 'delivered') AND expires_at < now() - interval '1 minute'`;
const DEVICES = `
  SELECT count(*)::int AS known, count(*) FILTER (WHERE quarantined_until > now())::int AS quarantined FROM equipments`;

/** Connects with the first call, not here. */
export function createStandingReader(options: {
  readonly url: string;
  readonly name: string;
}): StandingReader {
  const database = connectDatabase({
    ...options,
    role: null,
    poolMin: 0,
    poolMax: 1,
    deadlineMs: DEADLINE_MS,
  });
  return {
    read: () => database.transaction("read how the store stands", read),
    close: () => database.close(),
  };
}

async function read(session: Session): Promise<StoreStanding> {
  const facts = await readFacts(session);
  const timescale = facts.engine === "timescaledb";
  const { bytes } = await one<{ bytes: number }>(
    session,
    "SELECT pg_database_size(current_database())::float8 AS bytes",
  );
  const chunks = await session.rows<StoredChunks & { oldest: number }>(
    chunksByKind(timescale ? CHUNKS : PARTITIONS),
  );
  const aggregates = timescale ? await readAggregates(session) : [];
  const policies = timescale ? await readPolicies(session, aggregates) : [];
  const { may } = await one<{ may: boolean }>(session, MAY_READ_LATE);
  const lateBuckets = may ? (await one<{ n: number }>(session, LATE)).n : 0;

  await session.run("SET LOCAL ROLE twinstream_writer");
  const claims = await session.rows<Open<OpenClaimState>>(OPEN_CLAIMS);
  const commands = await session.rows<Open<OpenCommandState>>(OPEN_COMMANDS);
  const overdue = await one<{ n: number }>(session, OVERDUE);
  const devices = await one<{ known: number; quarantined: number }>(
    session,
    DEVICES,
  );
  const nowMs = Date.now();
  return {
    databaseBytes: bytes,
    chunks: chunks.map(({ kind, count, bytes: size }) => ({
      kind,
      count,
      bytes: size,
    })),
    oldestChunkSeconds:
      chunks.length === 0
        ? null
        : Math.max(0, ...chunks.map(({ oldest }) => oldest)),
    retentionSeconds: facts.rawRetentionDays * DAY_S,
    aggregates: aggregates.map((of) => ({
      name: of.name,
      bytes: of.bytes,
      behindSeconds:
        of.watermark === null
          ? null
          : Math.max(0, nowMs - Date.parse(of.watermark)) / 1000,
      stale: of.rowsBehind,
    })),
    policiesFailing: policies.filter(({ workDone }) => !workDone).length,
    lateBuckets,
    claims,
    commands,
    commandsOverdue: overdue.n,
    devicesKnown: devices.known,
    devicesQuarantined: devices.quarantined,
  };
}

async function one<T>(session: Session, statement: string): Promise<T> {
  const [row] = await session.rows<T>(statement);
  if (row === undefined) throw new TwinstreamError("STORE_NOT_MIGRATED");
  return row;
}
