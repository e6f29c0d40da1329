import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { refuseOld } from "../../src/adapters/timescale/engine.js";
import { migrate } from "../../src/adapters/timescale/migrate.js";
import { refreshWindows } from "../../src/adapters/timescale/policies.js";
import { whyNoTimescale, withDatabase } from "../support/database.js";

const migrating = suite("migrating a database");
const policies = suite("policies");
const skip = await whyNoTimescale();
if (skip !== null)
  console.log(`skipped: policies, migrating with TimescaleDB: ${skip}`);

const settings = (
  url: string,
  over: Partial<Parameters<typeof migrate>[0]> = {},
) => ({
  url,
  rawRetentionDays: 30,
  dlqRetentionDays: 14,
  say: () => {},
  ...over,
});

for (const extension of ["never", "auto"] as const)
  (extension === "never" || skip === null ? migrating : migrating.skip)(
    `several at once apply each file once, extension ${extension}`,
    async () => {
      await withDatabase({ migrated: false }, async ({ url, admin }) => {
        const results = await Promise.all(
          [1, 2, 3].map(() => migrate(settings(url, { extension }))),
        );
        const applied = results.flatMap((result) => result.applied);
        assert.is(new Set(applied).size, applied.length);
        assert.ok(
          applied.includes("0001_roles") && applied.includes("0009_events"),
        );
        const again = await migrate(settings(url));
        assert.equal(
          [again.applied.length, again.engine],
          [0, extension === "never" ? "postgresql" : "timescaledb"],
        );
        const { rows } = await admin.query<{ name: string }>(
          "SELECT name FROM store.migrations ORDER BY id",
        );
        assert.equal(
          rows.map((r) => r.name),
          [...applied].sort(),
        );
      });
    },
  );

migrating("two databases of one server can be migrated at once", async () => {
  await withDatabase({ migrated: false }, (one) =>
    withDatabase({ migrated: false }, async (two) => {
      const results = await Promise.all(
        [one, two].map(({ url }) =>
          migrate(settings(url, { extension: "never" })),
        ),
      );
      assert.equal(
        results.map((result) => result.applied.length > 0),
        [true, true],
      );
    }),
  );
});

migrating(
  "an owner who is no superuser is enough, and sees every tenant",
  async () => {
    await withDatabase({ migrated: false }, async ({ url, admin }) => {
      const name = new URL(url).pathname.slice(1);
      const user = `owner_${name}`;
      await admin.query(
        `CREATE ROLE ${user} LOGIN CREATEROLE PASSWORD 'test'; ALTER DATABASE ${name} OWNER TO ${user}; ALTER SCHEMA public OWNER TO ${user}`,
      );
      const own = new URL(url);
      own.username = user;
      own.password = "test";
      try {
        await migrate(settings(own.href, { extension: "never" }));
        await admin.query("INSERT INTO tenants (tenant_id) VALUES ('acme')");
        const client = new pg.Client({ connectionString: own.href });
        await client.connect();
        try {
          assert.is((await client.query("SELECT FROM tenants")).rows.length, 2);
          await client.query(
            "SET ROLE twinstream_reader; SET app.tenant_id = 'acme'",
          );
          assert.equal(
            (await client.query("SELECT tenant_id FROM tenants")).rows,
            [{ tenant_id: "acme" }],
          );
        } finally {
          await client.end();
        }
      } finally {
        await admin.query(
          `REASSIGN OWNED BY ${user} TO CURRENT_USER; DROP OWNED BY ${user}; DROP ROLE ${user}`,
        );
      }
    });
  },
);

migrating("a TimescaleDB that loses rows is refused", () => {
  for (const version of ["2.17.2", "2.18.0", "1.7.5", "2.9.0"])
    assert.throws(
      () => refuseOld(version),
      (error: Error) => error.message.includes(version),
    );
  for (const version of ["2.18.1", "2.18.10", "2.22.1", "2.30.0-dev", "3.0.0"])
    refuseOld(version);
});

migrating("an unreachable server says so", async () => {
  try {
    await migrate(settings("postgres://nobody@127.0.0.1:1/none"));
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, "STORE_UNREACHABLE");
  }
});

policies(
  "every refresh window starts where rows are kept, spans two buckets, and is noted beyond",
  () => {
    for (const kept of [
      24,
      25,
      30,
      47,
      48,
      49,
      71,
      72,
      73,
      168,
      200,
      720,
      Infinity,
    ]) {
      const { hourlyStart, dailyStart, dailyEnd, noteLateAfter } =
        refreshWindows(kept);
      assert.ok(hourlyStart <= kept, `${kept}: hourly from ${hourlyStart}`);
      assert.ok(
        dailyStart < kept + 24,
        `${kept}: daily from ${dailyStart}, in a chunk that is partly kept`,
      );
      assert.ok(
        dailyStart - dailyEnd >= 48,
        `${kept}: daily ${dailyStart} to ${dailyEnd}`,
      );
      assert.ok(
        noteLateAfter > 0 &&
          noteLateAfter < hourlyStart &&
          noteLateAfter < dailyStart - 24,
        `${kept}: noted after ${noteLateAfter}`,
      );
    }
  },
);

(skip === null ? policies : policies.skip)(
  "are as the settings say, and stand when nothing changed",
  async () => {
    await withDatabase({ migrated: false }, async ({ url, admin }) => {
      const jobs = async () =>
        (
          await admin.query<{ job_id: number; what: string }>(
            `SELECT * FROM (SELECT job_id, format('%s %s %s', hypertable_name, schedule_interval,
                    config - 'hypertable_id' - 'mat_hypertable_id') AS what
           FROM timescaledb_information.jobs WHERE hypertable_schema = 'store') j ORDER BY what COLLATE "C"`,
          )
        ).rows;
      await migrate(settings(url));
      const first = await jobs();
      assert.equal(
        first.map((job) => job.what),
        [
          'telemetry_daily 02:00:00 {"end_offset": "01:00:00", "start_offset": "168:00:00", "buckets_per_batch": 0}',
          'telemetry_data 1 day {"drop_after": "30 days"}',
          'telemetry_data 12:00:00 {"compress_after": "7 days"}',
          'telemetry_hourly 00:30:00 {"end_offset": "01:00:00", "start_offset": "72:00:00", "buckets_per_batch": 0}',
        ],
      );
      await migrate(settings(url));
      assert.equal(await jobs(), first);

      await migrate(settings(url, { rawRetentionDays: 1 }));
      assert.equal(
        (await jobs()).map((job) => job.what),
        [
          'telemetry_daily 02:00:00 {"end_offset": "-01:00:00", "start_offset": "47:00:00", "buckets_per_batch": 0}',
          'telemetry_data 1 day {"drop_after": "1 day"}',
          'telemetry_hourly 00:30:00 {"end_offset": "01:00:00", "start_offset": "24:00:00", "buckets_per_batch": 0}',
        ],
      );
      // Lengthened: what a day's retention may have dropped stays out of the windows.
      await migrate(settings(url, { rawRetentionDays: 0 }));
      assert.equal(
        (await jobs()).map((job) => job.what),
        [
          'telemetry_daily 02:00:00 {"end_offset": "-01:00:00", "start_offset": "47:00:00", "buckets_per_batch": 0}',
          'telemetry_data 12:00:00 {"compress_after": "7 days"}',
          'telemetry_hourly 00:30:00 {"end_offset": "01:00:00", "start_offset": "24:00:00", "buckets_per_batch": 0}',
        ],
      );
    });
  },
);

migrating.run();
policies.run();
