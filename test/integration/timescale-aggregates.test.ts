import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import type { Row } from "../../src/domain/device.js";
import {
  change,
  claimLane,
  knownSensor,
  moved,
  NOW_US,
  row,
} from "../conformance/telemetry-store-batches.js";
import {
  type TestDatabase,
  whyNoTimescale,
  withDatabase,
} from "../support/database.js";

const HOUR_US = 3_600_000_000;
const DAY_US = 24 * HOUR_US;
/** Midnight, UTC. */
const TODAY_US = Math.floor(NOW_US / DAY_US) * DAY_US;

interface Telemetry extends TestDatabase {
  store(rows: (readonly [timeUs: number, value: number])[]): Promise<void>;
  maintain(): Promise<void>;
  /** sample counts by bucket, in hours from today's midnight */
  counts(aggregate: "hourly" | "daily"): Promise<[number, number][]>;
}

async function withTelemetry(
  options: { extension: "auto" | "never"; rawRetentionDays?: number },
  work: (telemetry: Telemetry) => Promise<void>,
): Promise<void> {
  await withDatabase(options, async (database) => {
    const store = createTelemetryStore({
      url: database.url,
      name: "aggregates test",
      poolMin: 0,
      poolMax: 2,
    });
    try {
      const { dev, temp } = await knownSensor(store);
      const lane = await claimLane(store);
      await work({
        ...database,
        async store(values) {
          const rows: Row[] = values.map(([timeUs, value], i) =>
            row(temp, timeUs, value, i),
          );
          assert.is(
            moved(
              await lane.flush(values.length, {
                changes: [change(dev, { rows })],
              }),
            ).stored,
            values.length,
          );
        },
        maintain: () => store.maintain(),
        async counts(aggregate) {
          const { rows } = await database.admin.query<{
            ms: string;
            n: string;
          }>(
            `SELECT (extract(epoch FROM bucket) * 1000)::bigint AS ms, sample_count AS n FROM telemetry_${aggregate} ORDER BY 1`,
          );
          return rows.map(({ ms, n }) => [
            (Number(ms) * 1_000 - TODAY_US) / HOUR_US,
            Number(n),
          ]);
        },
      });
    } finally {
      await store.close();
    }
  });
}

const both = suite("hourly and daily figures");
const late = suite("figures over late rows");
const skip = await whyNoTimescale();
if (skip !== null)
  console.log(
    `skipped: figures over late rows, figures on TimescaleDB: ${skip}`,
  );

for (const extension of ["never", "auto"] as const)
  (extension === "never" || skip === null ? both : both.skip)(
    `all eight statistics are as computed by hand, ${extension === "never" ? "plain PostgreSQL" : "TimescaleDB, not yet refreshed"}`,
    async () => {
      await withTelemetry({ extension }, async ({ store, admin }) => {
        const values = [4, 1, 3, 2, 10];
        await store(
          values.map((value, i) => [TODAY_US - DAY_US + i * 60_000_000, value]),
        );
        for (const aggregate of ["hourly", "daily"]) {
          const { rows } = await admin.query(
            `SELECT (extract(epoch FROM bucket) * 1000000)::bigint::float8 AS bucket, equipment_id, avg_value, max_value, min_value,
                    sample_count::int, stddev_value, median_value, p95_value, p99_value FROM telemetry_${aggregate}`,
          );
          const { rows: sensors } = await admin.query<{ equipment_id: number }>(
            "SELECT equipment_id FROM sensors",
          );
          const [
            { stddev_value: stddev, p95_value: p95, p99_value: p99, ...exact },
          ] = rows as [Record<string, number>];
          assert.equal(exact, {
            bucket: TODAY_US - DAY_US,
            equipment_id: sensors[0]!.equipment_id,
            avg_value: 4,
            max_value: 10,
            min_value: 1,
            sample_count: 5,
            median_value: 3,
          });
          for (const [is, wanted] of [
            [stddev!, Math.sqrt(50 / 4)],
            [p95!, 8.8],
            [p99!, 9.76],
          ] as const)
            assert.ok(
              Math.abs(is - wanted) < 1e-9,
              `${aggregate}: ${is} for ${wanted}`,
            );
        }
      });
    },
  );

const test = skip === null ? late : late.skip;

test("the most hostile numbers that are let in leave every refresh whole", async () => {
  await withTelemetry(
    { extension: "auto" },
    async ({ store, admin, counts }) => {
      const hour = TODAY_US - DAY_US;
      const hostile = [1e140, -1e140, 0, 5e-324, 1e140, -1e140];
      await store(hostile.map((value, i) => [hour + i, value]));
      for (const aggregate of ["hourly", "daily"]) {
        await admin.query(
          `CALL refresh_continuous_aggregate('store.telemetry_${aggregate}', NULL, now())`,
        );
        const { rows } = await admin.query<Record<string, number>>(
          `SELECT avg_value, max_value, min_value, stddev_value, median_value, p99_value FROM telemetry_${aggregate}`,
        );
        for (const [name, value] of Object.entries(rows[0]!))
          assert.ok(Number.isFinite(value), `${aggregate} ${name}: ${value}`);
        assert.equal(await counts(aggregate as "hourly" | "daily"), [
          [-24, hostile.length],
        ]);
      }
      // And the bound is needed: what is not let in is what a refresh fails of.
      await store([[hour + 9, 1e200]]);
      const failure = await admin
        .query(
          "CALL refresh_continuous_aggregate('store.telemetry_hourly', NULL, now())",
        )
        .then(
          () => "none",
          (error: Error) => error.message,
        );
      assert.match(failure, "out of range");
    },
  );
});

test("late rows refresh their own buckets and no others", async () => {
  await withTelemetry(
    { extension: "auto" },
    async ({ store, admin, maintain, counts }) => {
      const [a, b] = [TODAY_US - 20 * DAY_US, TODAY_US - 15 * DAY_US];
      await store([
        [a + 5 * HOUR_US, 1],
        [a + 9 * HOUR_US, 1],
        [b + 5 * HOUR_US, 1],
      ]);
      await maintain();
      const settled: [number, number][] = [
        [-475, 1],
        [-471, 1],
        [-355, 1],
      ];
      assert.equal(await counts("hourly"), settled);
      // The watermark moves on, so that only what is refreshed is seen in the past.
      for (const aggregate of ["hourly", "daily"])
        await admin.query(
          `CALL refresh_continuous_aggregate('store.telemetry_${aggregate}', now() - interval '3 days', now())`,
        );

      await store([[a + 5 * HOUR_US + 1, 2]]);
      // Rows that nobody noted: in another hour of the same day, and on another day.
      await admin.query(
        `INSERT INTO store.telemetry_data (time, sensor_id, value)
       SELECT to_timestamp($1 / 1e6) + h * interval '1 hour' + interval '7 seconds', id, 1 FROM sensors, unnest(ARRAY[9, 125]) AS h`,
        [a],
      );
      assert.equal(await counts("hourly"), settled);
      await maintain();
      assert.equal(await counts("hourly"), [
        [-475, 2],
        [-471, 1],
        [-355, 1],
      ]);
      assert.equal(await counts("daily"), [
        [-480, 4],
        [-360, 1],
      ]);
      const { rows: notes } = await admin.query(
        "SELECT FROM store.late_buckets",
      );
      assert.is(notes.length, 0);
    },
  );
});

test("while a policy refreshes, no bucket is missing for a moment", async () => {
  await withTelemetry({ extension: "auto" }, async (telemetry) => {
    const { admin, store, counts, url } = telemetry;
    await store(
      Array.from({ length: 60 }, (_, i) => [NOW_US - (i + 2) * HOUR_US, i]),
    );
    const { rows: jobs } = await admin.query<{ job_id: number }>(
      "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'",
    );
    assert.is(jobs.length, 2);
    const total = async () =>
      (await counts("hourly")).reduce((sum, [, n]) => sum + n, 0);
    const runner = new pg.Client(url);
    await runner.connect();
    let running = true;
    const refreshed = (async () => {
      for (const { job_id: job } of jobs)
        await runner.query(`CALL run_job(${job})`);
    })().finally(() => (running = false));
    const seen = new Set<number>();
    while (running) seen.add(await total());
    try {
      await refreshed;
    } finally {
      await runner.end();
    }
    assert.equal([...seen.add(await total())], [60]);
  });
});

test("figures kept beyond the raw rows are not computed anew from what is left", async () => {
  await withTelemetry(
    { extension: "auto", rawRetentionDays: 30 },
    async ({ store, admin, maintain, counts }) => {
      const old = TODAY_US - 40 * DAY_US;
      await store([
        [old, 1],
        [old + 1, 2],
        [old + 2, 3],
      ]);
      for (const aggregate of ["hourly", "daily"])
        await admin.query(
          `CALL refresh_continuous_aggregate('store.telemetry_${aggregate}', NULL, now())`,
        );
      await admin.query(
        "SELECT drop_chunks('store.telemetry_data', older_than => interval '30 days')",
      );
      await store([[old + 3, 4]]);
      await maintain();
      assert.equal(await counts("hourly"), [[-960, 3]]);
      assert.equal(await counts("daily"), [[-960, 3]]);
    },
  );
});

test("one process maintains at a time", async () => {
  await withTelemetry(
    { extension: "auto" },
    async ({ store, admin, maintain, counts }) => {
      await store([[TODAY_US - 20 * DAY_US, 1]]);
      await admin.query(
        "SELECT pg_advisory_lock(hashtext('twinstream.maintain'))",
      );
      await maintain();
      const noted = async () =>
        (await admin.query("SELECT FROM store.late_buckets")).rows.length;
      assert.is(await noted(), 1);
      await admin.query(
        "SELECT pg_advisory_unlock(hashtext('twinstream.maintain'))",
      );
      await maintain();
      assert.is(await noted(), 0);
      assert.equal(await counts("daily"), [[-480, 1]]);
    },
  );
});

both.run();
late.run();
