/**
 * What follows from settings: retention, and on TimescaleDB the refresh and columnstore policies. Set at each migration, and
 * left alone where it stands as wanted already (a policy that is made anew loses its history and runs at once).
 *
 * Dropping a chunk marks its buckets as changed, so a refresh whose window covers it computes them from nothing: 2,881
 * samples became 2 when tried. So every window starts where rows are certainly kept: within the retention, and, after the
 * retention was lengthened, not before what the shorter one had left.
 */
import type pg from "pg";
import type { Engine } from "./engine.js";

export interface Retention {
  /** 0 keeps for ever. */
  readonly rawRetentionDays: number;
  /** 0 keeps for ever. */
  readonly dlqRetentionDays: number;
}

interface Windows {
  readonly hourlyStart: number;
  readonly dailyStart: number;
  readonly dailyEnd: number;
  readonly noteLateAfter: number;
}

const HOURLY_START_HOURS = 3 * 24;
const DAILY_START_HOURS = 7 * 24;
const END_HOURS = 1;
const COLUMNSTORE_AFTER_DAYS = 7;
const RAW = "store.telemetry_data";

/** Hours before now, `keptHours` being how far back rows are certainly there (Infinity for all). */
export function refreshWindows(keptHours: number): Windows {
  const hourlyStart = Math.min(HOURLY_START_HOURS, keptHours);
  // A policy must span two buckets. A day's bucket is its chunk, and a chunk is kept until all of it is past the retention,
  // so that the window may start 23 hours before it, which only a retention of a day needs.
  const least = Math.min(keptHours + 23, 2 * 24 + END_HOURS);
  const dailyStart = Math.min(DAILY_START_HOURS, Math.max(keptHours, least));
  const dailyEnd = Math.min(END_HOURS, dailyStart - 2 * 24);
  // What is noted is older than what the next runs will still cover, also when they are late: a job that fails waits up to
  // five times its interval. The first term is for the row's hour, the second for its day.
  const noteLateAfter = Math.min(hourlyStart - 4, dailyStart - 24 - 12);
  return { hourlyStart, dailyStart, dailyEnd, noteLateAfter };
}

export async function setPolicies(
  client: pg.Client,
  engine: Engine,
  retention: Retention,
): Promise<void> {
  const { rows } = await client.query<{ kept_hours: number | null }>(
    `UPDATE store.settings SET
       raw_kept_from = CASE WHEN raw_retention_days = 0 THEN raw_kept_from
                            ELSE GREATEST(raw_kept_from, now() - make_interval(days => raw_retention_days)) END,
       raw_retention_days = $1, dlq_retention_days = $2
     RETURNING floor(extract(epoch FROM now() - raw_kept_from) / 3600)::float8 AS kept_hours`,
    [retention.rawRetentionDays, retention.dlqRetentionDays],
  );
  if (engine !== "timescaledb") return;
  const days = retention.rawRetentionDays;
  const windows = refreshWindows(
    Math.min(
      days === 0 ? Infinity : days * 24,
      rows[0]?.kept_hours ?? Infinity,
    ),
  );
  await client.query(
    "UPDATE store.settings SET note_late_after = make_interval(hours => $1)",
    [windows.noteLateAfter],
  );

  const wantedDrop = days === 0 ? null : `${days} days`;
  const dropStands = await retentionStands(client, wantedDrop);
  if (!dropStands)
    await client.query(
      `SELECT remove_retention_policy('${RAW}', if_exists => true)`,
    );
  await setRefresh(
    client,
    "store.telemetry_hourly",
    windows.hourlyStart,
    END_HOURS,
    "30 minutes",
  );
  await setRefresh(
    client,
    "store.telemetry_daily",
    windows.dailyStart,
    windows.dailyEnd,
    "2 hours",
  );
  await setColumnstore(client, days !== 0 && days <= COLUMNSTORE_AFTER_DAYS);
  // Last, so that no chunk is dropped under a window that still covers it.
  if (!dropStands && wantedDrop !== null)
    await client.query(
      `SELECT add_retention_policy('${RAW}', drop_after => $1::interval)`,
      [wantedDrop],
    );
}

async function retentionStands(
  client: pg.Client,
  wanted: string | null,
): Promise<boolean> {
  const { rows } = await client.query<{ same: boolean }>(
    `SELECT (config ->> 'drop_after')::interval = $1::interval AS same FROM timescaledb_information.jobs
     WHERE proc_name = 'policy_retention' AND hypertable_schema = 'store' AND hypertable_name = 'telemetry_data'`,
    [wanted],
  );
  return wanted === null ? rows.length === 0 : rows[0]?.same === true;
}

/**
 * One batch a refresh. In several, the newest first, the aggregate's watermark is ahead of the buckets still to come: until
 * the run has ended (and where it fails, until the next) those of an hour ago are neither materialized nor computed.
 */
const ONE_BATCH = { buckets_per_batch: 0 };

async function setRefresh(
  client: pg.Client,
  aggregate: string,
  startHours: number,
  endHours: number,
  every: string,
): Promise<void> {
  const wanted = [aggregate, startHours, endHours, every];
  const { rows } = await client.query<{ same: boolean }>(
    `SELECT (config ->> 'start_offset')::interval = make_interval(hours => $2)
        AND (config ->> 'end_offset')::interval = make_interval(hours => $3)
        AND schedule_interval = $4::interval AND config @> $5::jsonb AS same
     FROM timescaledb_information.jobs
     WHERE proc_name = 'policy_refresh_continuous_aggregate'
       AND format('%I.%I', hypertable_schema, hypertable_name)::regclass = $1::regclass`,
    [...wanted, ONE_BATCH],
  );
  if (rows[0]?.same === true) return;
  await client.query("BEGIN");
  await client.query(
    "SELECT remove_continuous_aggregate_policy($1::regclass, if_exists => true)",
    [aggregate],
  );
  const { rows: added } = await client.query<{ job: number }>(
    `SELECT add_continuous_aggregate_policy($1::regclass, start_offset => make_interval(hours => $2),
              end_offset => make_interval(hours => $3), schedule_interval => $4::interval) AS job`,
    wanted,
  );
  // Older versions have neither batches nor an argument for them; what they do not know of a config they leave alone.
  await client.query(
    "SELECT alter_job(job_id, config => config || $2) FROM timescaledb_information.jobs WHERE job_id = $1",
    [added[0]!.job, ONE_BATCH],
  );
  await client.query("COMMIT");
}

/** Where rows do not live to see the columnstore, there is no policy. */
async function setColumnstore(
  client: pg.Client,
  never: boolean,
): Promise<void> {
  const { rows } = await client.query(
    `SELECT FROM timescaledb_information.jobs
     WHERE proc_name IN ('policy_compression', 'policy_columnstore')
       AND hypertable_schema = 'store' AND hypertable_name = 'telemetry_data'`,
  );
  if (never && rows.length > 0)
    await client.query(
      `CALL remove_columnstore_policy('${RAW}', if_exists => true)`,
    );
  if (!never && rows.length === 0)
    await client.query(
      `CALL add_columnstore_policy('${RAW}', after => interval '${COLUMNSTORE_AFTER_DAYS} days')`,
    );
}
