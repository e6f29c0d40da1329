/** How the store of telemetry stands: chunks or partitions, aggregates, policies and their last runs. Reads only. */
import { TwinstreamError } from "../../errors.js";
import { connectDatabase, type Session } from "./connect.js";
import { readFacts } from "./facts.js";

export interface StoreStatus {
  readonly engine: "timescaledb" | "postgresql";
  readonly versions: {
    readonly postgresql: string;
    readonly timescaledb: string | null;
  };
  /** Days; 0 keeps for ever. */
  readonly retention: { readonly raw: number; readonly deadLetters: number };
  /** As the last ANALYZE has it. */
  readonly estimatedRows: number;
  /** Chunks, or on plain PostgreSQL day partitions, newest first. */
  readonly chunks: readonly ChunkGroup[];
  readonly aggregates: readonly AggregateStatus[];
  readonly policies: readonly PolicyStatus[];
  /** Hours that maintenance is still to refresh, because their rows came late. */
  readonly lateBuckets: {
    readonly waiting: number;
    readonly oldest: string | null;
  };
}

/** Chunks of one age. */
export interface ChunkGroup {
  readonly age: string;
  /** In the columnstore. */
  readonly compressed: boolean;
  readonly count: number;
  readonly bytes: number;
}

export interface AggregateStatus {
  readonly name: string;
  readonly bytes: number;
  /** Figures before it are stored, those after it are worked out when asked for (ISO 8601); null when none are stored. */
  readonly watermark: string | null;
  /** Whether rows wait behind the watermark that the policy should long have taken. */
  readonly rowsBehind: boolean;
}

export interface PolicyStatus {
  readonly jobId: number;
  readonly kind: "refresh" | "retention" | "columnstore";
  /** What it works on. */
  readonly on: string;
  readonly every: string;
  readonly scheduled: boolean;
  readonly runs: number;
  readonly failures: number;
  readonly lastRun: string | null;
  readonly lastSucceeded: boolean | null;
  readonly nextRun: string | null;
  readonly lastError: string | null;
  /** Whether its last runs did what they are for, judged by the data themselves. */
  readonly workDone: boolean;
}

const DEADLINE_MS = 60_000;
const iso = (time: string) =>
  `CASE WHEN isfinite(${time}) THEN to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END`;

/** @throws TwinstreamError STORE_UNREACHABLE, STORE_NOT_MIGRATED */
export async function readStoreStatus(url: string): Promise<StoreStatus> {
  const database = connectDatabase({
    url,
    name: "store status",
    role: null,
    poolMin: 0,
    poolMax: 1,
    deadlineMs: DEADLINE_MS,
  });
  try {
    return await database.use("read the store's status", async (session) => {
      const facts = await readFacts(session);
      const timescale = facts.engine === "timescaledb";
      const aggregates = timescale ? await readAggregates(session) : [];
      return {
        engine: facts.engine,
        versions: await only(session, VERSIONS),
        retention: {
          raw: facts.rawRetentionDays,
          deadLetters: facts.dlqRetentionDays,
        },
        estimatedRows: (
          await only<{ n: number }>(
            session,
            timescale ? ROWS_IN_CHUNKS : ROWS_IN_PARTITIONS,
          )
        ).n,
        chunks: await session.rows<ChunkGroup>(
          groupedByAge(timescale ? CHUNKS : PARTITIONS),
        ),
        aggregates,
        policies: timescale ? await readPolicies(session, aggregates) : [],
        lateBuckets: timescale
          ? await only(session, LATE)
          : { waiting: 0, oldest: null },
      };
    });
  } finally {
    await database.close();
  }
}

async function only<T>(session: Session, statement: string): Promise<T> {
  const [row] = await session.rows<T>(statement);
  if (row === undefined) throw new TwinstreamError("STORE_NOT_MIGRATED");
  return row;
}

const VERSIONS = `
  SELECT split_part(current_setting('server_version'), ' ', 1) AS postgresql,
         (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb`;

const ROWS_IN_CHUNKS = `SELECT approximate_row_count('store.telemetry_data')::float8 AS n`;
const ROWS_IN_PARTITIONS = `
  SELECT COALESCE(sum(GREATEST(c.reltuples, 0)), 0)::float8 AS n
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'store.telemetry_data'::regclass`;

const LATE = `SELECT count(*)::int AS waiting, ${iso("min(bucket)")} AS oldest FROM store.late_buckets`;

export const CHUNKS = `
  SELECT c.range_end, c.is_compressed, s.total_bytes
  FROM timescaledb_information.chunks c
  JOIN chunks_detailed_size('store.telemetry_data') s USING (chunk_schema, chunk_name)`;
/** A partition's name says its day. */
export const PARTITIONS = `
  SELECT to_timestamp(right(c.relname, 8), 'YYYYMMDD') + interval '1 day' AS range_end, false AS is_compressed,
         pg_total_relation_size(c.oid) AS total_bytes
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'store.telemetry_data'::regclass`;

const groupedByAge = (chunks: string) => `
  SELECT age, is_compressed AS compressed, count(*)::int AS count, sum(total_bytes)::float8 AS bytes
  FROM (
    SELECT *, CASE WHEN range_end > now() THEN 'today' WHEN range_end > now() - interval '7 days' THEN 'to 7 days'
                   WHEN range_end > now() - interval '30 days' THEN '7 to 30 days' ELSE 'older' END AS age
    FROM (${chunks}) AS chunk
  ) AS aged
  GROUP BY age, is_compressed ORDER BY max(range_end) DESC, is_compressed`;

/**
 * A row waits when it is behind the watermark and older than what two runs of the policy leave: its end offset, a bucket and
 * twice its interval. Where nothing new comes in, the watermark stands still, and nothing waits.
 */
export async function readAggregates(
  session: Session,
): Promise<AggregateStatus[]> {
  const found = await session.rows<
    Omit<AggregateStatus, "rowsBehind"> & { due: string }
  >(`
    SELECT a.view_name AS name, hypertable_size(format('%I.%I', h.schema_name, h.table_name)::regclass)::float8 AS bytes,
           CASE WHEN w.mark > '2000-01-01' THEN ${iso("w.mark")} END AS watermark,
           (now() - COALESCE((j.config ->> 'end_offset')::interval + 2 * j.schedule_interval, '1 day')
                  - CASE a.view_name WHEN 'telemetry_daily' THEN interval '1 day' ELSE interval '1 hour' END)::text AS due
    FROM timescaledb_information.continuous_aggregates a
    JOIN _timescaledb_catalog.hypertable h
      ON (h.schema_name, h.table_name) = (a.materialization_hypertable_schema, a.materialization_hypertable_name)
    CROSS JOIN LATERAL (SELECT _timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(h.id)) AS mark) w
    LEFT JOIN timescaledb_information.jobs j
      ON j.proc_name = 'policy_refresh_continuous_aggregate' AND (j.config ->> 'mat_hypertable_id')::int = h.id
    WHERE a.view_schema = 'store' ORDER BY a.view_name DESC`);
  const aggregates: AggregateStatus[] = [];
  for (const { due, ...aggregate } of found) {
    const behind = await session.rows(
      `SELECT FROM store.telemetry_data WHERE time >= $1::timestamptz AND time < $2::timestamptz LIMIT 1`,
      [aggregate.watermark ?? "-infinity", due],
    );
    aggregates.push({ ...aggregate, rowsBehind: behind.length > 0 });
  }
  return aggregates;
}

const KINDS = `
  CASE j.proc_name WHEN 'policy_refresh_continuous_aggregate' THEN 'refresh'
                   WHEN 'policy_retention' THEN 'retention' ELSE 'columnstore' END`;

/** Retention and columnstore have done their work when no chunk is overdue by two of their runs. */
const POLICIES = `
  SELECT j.job_id AS "jobId", ${KINDS} AS kind, j.hypertable_name AS on, j.schedule_interval::text AS every, j.scheduled,
         COALESCE(s.total_runs, 0)::int AS runs, COALESCE(s.total_failures, 0)::int AS failures,
         ${iso("s.last_run_started_at")} AS "lastRun", ${iso("s.next_start")} AS "nextRun",
         s.last_run_status = 'Success' AS "lastSucceeded",
         (SELECT e.err_message FROM timescaledb_information.job_errors e
          WHERE e.job_id = j.job_id AND e.finish_time >= s.last_run_started_at ORDER BY e.finish_time DESC LIMIT 1) AS "lastError",
         NOT EXISTS (
           SELECT FROM timescaledb_information.chunks c
           WHERE c.hypertable_schema = 'store' AND c.hypertable_name = 'telemetry_data'
             AND c.range_end < now() - 2 * j.schedule_interval
                 - COALESCE(j.config ->> 'drop_after', j.config ->> 'compress_after', j.config ->> 'after')::interval
             AND NOT (j.proc_name <> 'policy_retention' AND c.is_compressed)
         ) AS "workDone"
  FROM timescaledb_information.jobs j
  LEFT JOIN timescaledb_information.job_stats s USING (job_id)
  WHERE j.hypertable_schema = 'store'
    AND j.proc_name IN ('policy_refresh_continuous_aggregate', 'policy_retention', 'policy_compression', 'policy_columnstore')
  ORDER BY j.job_id`;

export async function readPolicies(
  session: Session,
  aggregates: readonly AggregateStatus[],
): Promise<PolicyStatus[]> {
  const found = await session.rows<PolicyStatus>(POLICIES);
  return found.map((policy) => {
    if (policy.kind !== "refresh") return policy;
    const aggregate = aggregates.find(({ name }) => name === policy.on);
    return { ...policy, workDone: aggregate?.rowsBehind !== true };
  });
}
