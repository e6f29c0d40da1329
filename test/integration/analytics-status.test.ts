/** `twinstream store status`: what it reads on real databases, and what it makes of it. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type PolicyStatus,
  readStoreStatus,
  type StoreStatus,
} from "../../src/adapters/timescale/store-status.js";
import { storeFindings } from "../../src/main/store-findings.js";
import { whyNoTimescale, withDatabase } from "../support/database.js";
import { runCommand } from "../support/roles.js";

const skip = await whyNoTimescale();
if (skip !== null) console.log(`skipped: store status on TimescaleDB: ${skip}`);

const SENSOR = `
  WITH device AS (
    INSERT INTO equipments (tenant_id, equip_uuid, log_partition) VALUES ('default', 'dev-1', 0) RETURNING id
  ) INSERT INTO sensors (equipment_id, tenant_id, sensor_uuid, type_class) SELECT id, 'default', 'a', 'num' FROM device`;
/** A row an hour for twelve days. */
const ROWS = `
  INSERT INTO store.telemetry_data
  SELECT now() - n * interval '1 hour', s.id, n FROM sensors s, generate_series(0, 287) AS n`;

const status = suite("store status");

(skip === null ? status : status.skip)(
  "shows chunks by age, aggregates and policies on TimescaleDB",
  () =>
    withDatabase({ extension: "auto" }, async ({ url, admin }) => {
      await admin.query(SENSOR);
      await admin.query(ROWS);
      await admin.query(
        "SELECT compress_chunk(c) FROM show_chunks('store.telemetry_data', older_than => interval '8 days') AS c",
      );
      await admin.query(
        "INSERT INTO store.late_buckets (bucket) VALUES ('2026-01-15T10:00:00Z')",
      );
      await admin.query(
        "CALL refresh_continuous_aggregate('store.telemetry_hourly', NULL, now())",
      );
      const shown = await readStoreStatus(url);
      assert.is(shown.engine, "timescaledb");
      assert.equal(shown.retention, { raw: 30, deadLetters: 14 });
      const ages = shown.chunks.map(({ age, compressed }) => [age, compressed]);
      assert.equal(ages[0], ["today", false]);
      assert.ok(shown.chunks.every(({ bytes }) => bytes > 0));
      assert.ok(
        shown.chunks.some(
          ({ age, compressed }) => age === "7 to 30 days" && compressed,
        ),
      );
      const chunks = shown.chunks.reduce((sum, { count }) => sum + count, 0);
      assert.ok(chunks === 12 || chunks === 13, `${chunks} chunks`);
      assert.equal(
        shown.aggregates.map(({ name, watermark, rowsBehind }) => [
          name,
          watermark === null,
          rowsBehind,
        ]),
        [
          ["telemetry_hourly", false, false],
          ["telemetry_daily", true, true],
        ],
      );
      assert.equal(
        shown.policies.map(({ kind, on }) => `${kind} of ${on}`),
        [
          "refresh of telemetry_hourly",
          "refresh of telemetry_daily",
          "columnstore of telemetry_data",
          "retention of telemetry_data",
        ],
      );
      assert.equal(shown.lateBuckets, {
        waiting: 1,
        oldest: "2026-01-15T10:00:00Z",
      });

      const told = await runCommand(["store", "status"], { DATABASE_URL: url });
      assert.is(told.code, 1, told.output);
      for (const words of [
        "switched off",
        "alter_job",
        "telemetry_daily is stale",
        "columnstore",
        "kept 30 days",
      ])
        assert.match(told.output, words);
    }),
);

status("shows partitions on plain PostgreSQL", () =>
  withDatabase({ extension: "never" }, async ({ url, admin }) => {
    await admin.query(SENSOR);
    await admin.query(
      "SELECT store.ensure_partitions(array_agg(d::date)) FROM generate_series(now() - interval '13 days', now(), interval '1 day') AS d",
    );
    await admin.query(ROWS);
    const told = await runCommand(["store", "status", "--json"], {
      DATABASE_URL: url,
    });
    assert.is(told.code, 0, told.output);
    const shown = JSON.parse(told.output) as StoreStatus;
    assert.is(shown.engine, "postgresql");
    assert.equal(shown.policies, []);
    assert.equal(
      shown.chunks.map(({ age, count }) => [age, count]),
      [
        ["today", 1],
        ["to 7 days", 7],
        ["7 to 30 days", 6],
      ],
    );
    const people = await runCommand(["store", "status"], { DATABASE_URL: url });
    assert.match(people.output, "without TimescaleDB");
  }),
);

status("says what to do when the schema is not there", () =>
  withDatabase({ migrated: false }, async ({ url }) => {
    const told = await runCommand(["store", "status"], { DATABASE_URL: url });
    assert.is(told.code, 1);
    assert.match(told.output, "twinstream migrate");
  }),
);

const findings = suite("store findings");

const policy = (over: Partial<PolicyStatus> = {}): PolicyStatus => ({
  jobId: 1000,
  kind: "refresh",
  on: "telemetry_hourly",
  every: "00:30:00",
  scheduled: true,
  runs: 4,
  failures: 0,
  lastRun: "2026-01-15T10:00:00Z",
  lastSucceeded: true,
  nextRun: "2026-01-15T10:30:00Z",
  lastError: null,
  workDone: true,
  ...over,
});

const verdictsOf = (one: PolicyStatus, rowsBehind = false): readonly string[] =>
  storeFindings({
    engine: "timescaledb",
    versions: { postgresql: "15.20", timescaledb: "2.22.1" },
    retention: { raw: 30, deadLetters: 14 },
    estimatedRows: 1,
    chunks: [],
    aggregates: [
      { name: "telemetry_hourly", bytes: 1, watermark: null, rowsBehind },
    ],
    policies: [one],
    lateBuckets: { waiting: 0, oldest: null },
  }).map(({ verdict }) => verdict);

findings("a policy that fails is wrong, its own words or not", () => {
  assert.equal(verdictsOf(policy()), ["ok"]);
  const failed = { lastSucceeded: false, failures: 1 };
  assert.equal(
    verdictsOf(policy({ ...failed, lastError: "value out of range" })),
    ["wrong"],
  );
  assert.equal(verdictsOf(policy(failed)), ["wrong"]);
});

findings(
  "one that is only reported as failed is no alarm, while its work is done",
  () => {
    const reported = {
      lastSucceeded: false,
      lastError: 'cannot drop portal "" while it is being set up',
    };
    assert.equal(verdictsOf(policy(reported)), ["advice"]);
    assert.equal(verdictsOf(policy({ ...reported, workDone: false }), true), [
      "wrong",
      "wrong",
    ]);
  },
);

findings(
  "rows behind the watermark are stale only where no run takes them",
  () => {
    assert.equal(verdictsOf(policy(), true), ["ok"]);
    assert.equal(
      verdictsOf(policy({ lastSucceeded: null, lastRun: null }), true),
      ["wrong"],
    );
  },
);

status.run();
findings.run();
