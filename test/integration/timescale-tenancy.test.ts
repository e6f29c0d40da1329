import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectDatabase } from "../../src/adapters/timescale/connect.js";
import { createDeviceRecords } from "../../src/adapters/timescale/device-records.js";
import type { EventRecord } from "../../src/ports.js";
import { NOW_US } from "../conformance/telemetry-store-batches.js";
import { whyNoTimescale } from "../support/database.js";
import { withTenants } from "./timescale-tenants.js";

const VIEWS = [
  "telemetry_data",
  "ts_measure",
  "telemetry_hourly",
  "telemetry_daily",
];
const TABLES = [
  "tenants",
  "equipments",
  "sensors",
  "commands",
  "cmd_ack",
  "ingest_errors",
  "events",
];

function tenancyTests(
  name: string,
  extension: "auto" | "never",
  skip: string | null,
): void {
  const tests = suite(`tenants in the database: ${name}`);
  const test = skip === null ? tests : tests.skip;
  if (skip !== null)
    console.log(`skipped: tenants in the database: ${name}: ${skip}`);

  test("a reader sees its tenant in every view and table, another's in none, and nothing with no tenant set", async () => {
    await withTenants(extension, async ({ as, admin }) => {
      const ofAcme = `(SELECT id FROM sensors WHERE tenant_id = 'acme')`;
      const { rows: ids } = await admin.query<{ ids: number[] }>(
        `SELECT array_agg(id) AS ids FROM sensors WHERE id IN ${ofAcme}`,
      );
      for (const relation of [...VIEWS, ...TABLES]) {
        assert.equal(
          await as("twinstream_reader", null, `SELECT * FROM ${relation}`),
          [],
          `${relation} without a tenant`,
        );
        assert.equal(
          await as("twinstream_reader", "", `SELECT * FROM ${relation}`),
          [],
          `${relation} with an empty tenant`,
        );
        assert.equal(
          await as("twinstream_reader", "nobody", `SELECT * FROM ${relation}`),
          [],
          `${relation} with another tenant`,
        );
        const seen = await as(
          "twinstream_reader",
          "acme",
          `SELECT * FROM ${relation}`,
        );
        assert.ok(seen.length > 0, `${relation} of acme`);
        for (const row of seen)
          assert.ok(
            row.tenant_id === "acme" ||
              ids[0]!.ids.includes(row.sensor_id as number),
            `${relation}: ${JSON.stringify(row)}`,
          );
      }
    });
  });

  test("operators and superusers see every tenant, and a tenant alone when they name it", async () => {
    await withTenants(extension, async ({ as, admin }) => {
      for (const relation of [...VIEWS, ...TABLES]) {
        const all = await as(
          "twinstream_operator",
          null,
          `SELECT * FROM ${relation}`,
        );
        const acme = await as(
          "twinstream_operator",
          "acme",
          `SELECT * FROM ${relation}`,
        );
        assert.ok(
          acme.length > 0 && acme.length < all.length,
          `${relation}: ${acme.length} of ${all.length}`,
        );
        assert.is(
          (await admin.query(`SELECT FROM ${relation}`)).rows.length,
          all.length,
          relation,
        );
      }
      const letters = await as(
        "twinstream_operator",
        null,
        "SELECT FROM ingest_errors WHERE tenant_id IS NULL",
      );
      assert.is(letters.length, 2);
    });
  });

  test("a reader comes by no way to raw rows, aggregates, chunks, the fence, or to writing", async () => {
    await withTenants(extension, async ({ as, admin }) => {
      if (extension === "auto") {
        await admin.query(
          "CALL refresh_continuous_aggregate('store.telemetry_hourly', NULL, NULL)",
        );
        await admin.query(
          "SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('store.telemetry_data', older_than => interval '5 days') c",
        );
      }
      const { rows: relations } = await admin.query<{ name: string }>(
        `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'v', 'p', 'm') AND (n.nspname = 'store' OR (n.nspname = '_timescaledb_internal'
           AND c.relname ~ '^(_hyper|compress_hyper|_materialized|_partial|_direct)'))`,
      );
      assert.ok(
        relations.length >= (extension === "auto" ? 15 : 6),
        `${relations.length} relations`,
      );
      const denied = [
        ...relations.map(({ name }) => `SELECT * FROM ${name}`),
        "SELECT * FROM stream_offsets",
        "SELECT * FROM stream_gaps",
        "INSERT INTO tenants (tenant_id) VALUES ('mine')",
        "UPDATE equipments SET tenant_id = 'acme'",
        "DELETE FROM commands",
        "INSERT INTO telemetry_data VALUES (now(), 1, 1, NULL)",
        "SET ROLE twinstream_writer",
        "SET ROLE twinstream_operator",
        "CREATE TABLE public.mine (a int)",
      ];
      for (const sql of denied)
        try {
          await as("twinstream_reader", "acme", sql);
          assert.unreachable(`not refused: ${sql}`);
        } catch (error) {
          assert.match(
            (error as Error).message,
            /permission denied|cannot insert/,
            sql,
          );
        }
    });
  });

  test("a reader's own function in a WHERE is not shown what the view hides", async () => {
    await withTenants(extension, async ({ userOf }) => {
      const client = new pg.Client({
        connectionString: await userOf("twinstream_reader"),
      });
      const heard: string[] = [];
      client.on("notice", ({ message }) => heard.push(message ?? ""));
      await client.connect();
      try {
        await client.query("SET app.tenant_id = 'acme'");
        await client.query(
          `CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
           AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$`,
        );
        await client.query(
          "SELECT * FROM ts_measure WHERE pg_temp.leak(tenant_id || v_text)",
        );
        await client.query(
          "SELECT * FROM equipments WHERE pg_temp.leak(tenant_id)",
        );
        await client.query(
          "SELECT * FROM telemetry_data WHERE pg_temp.leak(text_value)",
        );
      } finally {
        await client.end();
      }
      assert.ok(heard.some((text) => text.includes("acme's")));
      assert.not(heard.some((text) => text.includes("zeta")));
    });
  });

  test("the gateway's reading is of one tenant", async () => {
    await withTenants(extension, async ({ userOf }) => {
      const records = createDeviceRecords({
        url: await userOf("twinstream_reader"),
        name: "tenancy test",
        poolMin: 0,
        poolMax: 2,
      });
      try {
        const all = { onlineSinceUs: null, after: null, limit: 10 };
        assert.equal(await records.devices("acme", all), [
          {
            deviceId: "dev-1",
            tenant: "acme",
            site: "site-1",
            online: true,
            lastSeenUs: NOW_US,
            cause: null,
          },
        ]);
        assert.equal(
          await records.devices("acme", { ...all, onlineSinceUs: NOW_US + 1 }),
          [],
        );
        assert.equal(
          await records.devices("acme", { ...all, after: "dev-1" }),
          [],
        );
        assert.equal(await records.device("nobody", "dev-1"), null);
        assert.match(
          (await records.newest("zeta", "dev-1"))!.payload,
          `"v":"zeta's"`,
        );
        assert.equal(await records.command("acme", "dev-1", "c-zeta"), null);
        const [found] = await records.commands("acme", "dev-1", {
          before: null,
          limit: 5,
        });
        assert.equal(
          [
            found!.cmdId,
            found!.state,
            found!.ok,
            found!.by,
            found!.params,
            found!.createdUs,
          ],
          ["c-acme", "acked", true, "ana", { level: 2 }, NOW_US],
        );
        assert.equal(
          found!.history.map((step) => step.state),
          ["accepted", "queued", "acked"],
        );
        assert.equal(
          await records.commands("acme", "dev-1", {
            before: "c-acme",
            limit: 5,
          }),
          [],
        );
        const anyTime = {
          fromUs: 0,
          toUs: NOW_US + 1,
          before: null,
          limit: 5,
        };
        const { events, more } = await records.events("acme", "dev-1", anyTime);
        assert.equal(
          [events.length, events[0]?.timeUs, more],
          [1, NOW_US, false],
        );
        const [{ timeUs, hash }] = events as [EventRecord];
        for (const none of [
          records.events("nobody", "dev-1", anyTime),
          records.events("acme", "dev-1", { ...anyTime, fromUs: NOW_US + 1 }),
          records.events("acme", "dev-1", { ...anyTime, toUs: NOW_US - 1 }),
          records.events("acme", "dev-1", {
            ...anyTime,
            before: { timeUs, hash },
          }),
        ])
          assert.equal(await none, { events: [], more: false });
        await records.ping();
      } finally {
        await records.close();
      }
    });
  });

  test("a tenant that is left set on a pooled connection is not the next question's", async () => {
    await withTenants(extension, async ({ userOf }) => {
      const url = await userOf("twinstream_reader");
      const pool = { url, name: "pool test", poolMin: 1, poolMax: 1 };
      const database = connectDatabase({ ...pool, role: "twinstream_reader" });
      const seen = async () =>
        database.use("look", (session) =>
          session.rows<{ tenant_id: string }>(
            "SELECT tenant_id FROM equipments",
          ),
        );
      const within = (tenant: string) =>
        database.transaction("ask", async (session) => {
          await session.run("SELECT set_config('app.tenant_id', $1, true)", [
            tenant,
          ]);
          return session.rows<{ tenant_id: string }>(
            "SELECT tenant_id FROM equipments",
          );
        });
      try {
        assert.equal(await within("acme"), [{ tenant_id: "acme" }]);
        assert.equal(await seen(), [], "gone with the transaction");
        await database.use("attack", (session) =>
          session.run("SET app.tenant_id = 'acme'"),
        );
        assert.equal(await within("zeta"), [{ tenant_id: "zeta" }]);
        assert.equal(await seen(), [], "the pool has put it back");
      } finally {
        await database.close();
      }
    });
  });

  tests.run();
}

const skip = await whyNoTimescale();
tenancyTests("plain PostgreSQL", "never", null);
tenancyTests("TimescaleDB", "auto", skip);
