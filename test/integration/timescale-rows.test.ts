import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  createRowEncoder,
  STAGED_COLUMNS,
} from "../../src/adapters/timescale/binary-copy.js";
import { connectDatabase } from "../../src/adapters/timescale/connect.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import type { Row } from "../../src/domain/device.js";
import {
  change,
  claimLane,
  device,
  knownSensor,
  moved,
  NOW_US,
  PARTITION,
  row,
  sensor,
} from "../conformance/telemetry-store-batches.js";
import { withDatabase } from "../support/database.js";
import { withStore } from "./timescale-rig.js";

const rows = suite("rows on their way to PostgreSQL");
const DAY_US = 86_400_000_000;

rows("PostgreSQL reads every encoded row as it was given", async () => {
  await withDatabase({ migrated: false }, async ({ url, admin }) => {
    await admin.query(
      "CREATE TABLE read (ordinal int, time timestamptz, sensor_id int, value float8, text_value text)",
    );
    const database = connectDatabase({
      url,
      name: "rows test",
      role: null,
      poolMin: 0,
      poolMax: 1,
    });
    const encoder = createRowEncoder();
    const given = fc.record({
      timeUs: fc.integer({
        min: -2_208_988_800_000_000, // 1900
        max: 7_258_118_400_000_000, // 2200,
      }),
      id: fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
      value: fc.option(fc.double({ noNaN: true })),
      text: fc.option(
        fc
          .string({ unit: "grapheme", maxLength: 300 })
          .map((text) => text.replaceAll("\0", "")),
      ),
    });
    const of = device("dev-1");
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(given, { maxLength: 400 }), async (list) => {
          const batch: Row[] = list.map(({ id, timeUs, value, text }) => ({
            ...row({ ...sensor(of, "x"), id }, timeUs, 0),
            value,
            text,
          }));
          await database.use("property", (session) =>
            session.copy(
              `COPY public.read ${STAGED_COLUMNS} FROM STDIN (FORMAT binary)`,
              encoder.encode(batch, true),
            ),
          );
          const read = await admin.query<{
            us: string;
            sensor_id: number;
            value: number | null;
            text_value: string | null;
          }>(
            "SELECT (extract(epoch FROM time) * 1000000)::bigint AS us, sensor_id, value, text_value FROM read ORDER BY ordinal",
          );
          await admin.query("TRUNCATE read");
          assert.equal(
            read.rows.map((r) => [
              Number(r.us),
              r.sensor_id,
              r.value,
              r.text_value,
            ]),
            list.map(({ timeUs, id, value, text }) => [
              timeUs,
              id,
              value,
              text,
            ]),
          );
        }),
        { numRuns: 60 },
      );
    } finally {
      await database.close();
    }
  });
});

rows(
  "a duplicate at the head of a large flush sends all of it another way, and every row is there once",
  async () => {
    await withStore("never", async (store, { admin }) => {
      const dev = device("dev-1");
      const [temp, note] = [sensor(dev, "temp"), sensor(dev, "note", "text")];
      await store.register(PARTITION, [dev], [temp, note]);
      const lane = await claimLane(store);
      await lane.flush(1, {
        changes: [change(dev, { rows: [row(temp, NOW_US, 0)] })],
      });
      // 12 MB of text: more than a socket takes at once, so the error arrives while the COPY is still being sent.
      const batch = [row(temp, NOW_US, 0, 1), row(temp, NOW_US, 1, 2)];
      for (let i = 1; i < 12_000; i++)
        batch.push(row(note, NOW_US + i, `${i} `.padEnd(1_000, "x"), 2 + i));
      const result = moved(
        await lane.flush(12_001, { changes: [change(dev, { rows: batch })] }),
      );
      assert.equal(
        [result.stored, result.duplicates, result.conflicts, result.refused],
        [11_999, 1, 1, 0],
      );
      const { rows: counted } = await admin.query<{ n: string; sum: string }>(
        "SELECT count(*) AS n, sum(split_part(text_value, ' ', 1)::int) AS sum FROM store.telemetry_data",
      );
      assert.equal(counted, [
        { n: "12000", sum: String((11_999 * 12_000) / 2) },
      ]);
      assert.is(
        moved(
          await lane.flush(1, {
            changes: [change(dev, { rows: [row(temp, NOW_US + 1, 5)] })],
          }),
        ).stored,
        1,
      );
    });
  },
);

rows("a text with NUL is refused alone", async () => {
  await withStore("never", async (store) => {
    const dev = device("dev-1");
    const note = sensor(dev, "note", "text");
    await store.register(PARTITION, [dev], [note]);
    const lane = await claimLane(store);
    const result = moved(
      await lane.flush(3, {
        changes: [
          change(dev, {
            rows: ["a", "b\0", "c"].map((text, i) =>
              row(note, NOW_US + i, text, i),
            ),
          }),
        ],
      }),
    );
    assert.equal([result.stored, result.refused], [2, 1]);
  });
});

rows(
  "rows of many days make their partitions on plain PostgreSQL, also when two lanes need them at once",
  async () => {
    await withStore("never", async (store, { admin, url }) => {
      const other = createTelemetryStore({
        url,
        name: "rows test 2",
        poolMin: 0,
        poolMax: 2,
      });
      const { dev, temp } = await knownSensor(store);
      const lanes = [await claimLane(store)];
      const days = (from: number) =>
        Array.from({ length: 20 }, (_, i) =>
          row(temp, NOW_US - i * DAY_US + from, i, i),
        );
      const [fence] = await other.claim(["other"], PARTITION, "two");
      const batch = lanes[0]!.batch(20, {
        changes: [change(dev, { rows: days(1) })],
      });
      const results = await Promise.all([
        lanes[0]!.flush(20, { changes: [change(dev, { rows: days(0) })] }),
        other.flush(
          {
            ...batch,
            fence: [
              {
                topic: "other",
                epoch: fence!.epoch,
                from: 0,
                to: 20,
                lastRecordMs: null,
              },
            ],
          },
          async () => {},
        ),
      ]);
      await other.close();
      assert.equal(
        results.map((result) => moved(result).stored),
        [20, 20],
      );
      const { rows: parts } = await admin.query(
        "SELECT FROM pg_inherits WHERE inhparent = 'store.telemetry_data'::regclass",
      );
      assert.is(parts.length, 20);
    });
  },
);

rows(
  "maintenance drops the partitions past the retention and removes old dead letters",
  async () => {
    await withStore("never", async (store, { admin }) => {
      const { dev, temp } = await knownSensor(store);
      const lane = await claimLane(store);
      const ages = [0, 29, 30, 31, 32, 40];
      await lane.flush(6, {
        changes: [
          change(dev, {
            rows: ages.map((age) => row(temp, NOW_US - age * DAY_US, age)),
          }),
        ],
      });
      await admin.query(
        `INSERT INTO ingest_errors (topic, payload, payload_size, reason, detail, attempts, ts, log_topic, log_partition, log_offset, item)
       SELECT 't', '', 0, 'parse_error', '', 1, now() - age * interval '1 day', 't', 0, age, -1 FROM unnest(ARRAY[1, 13, 15]) AS age`,
      );
      await store.maintain();
      const { rows: left } = await admin.query<{ value: number }>(
        "SELECT value FROM store.telemetry_data ORDER BY 1",
      );
      // The day that the retention ends in stays whole.
      assert.equal(
        left.map((r) => r.value).filter((age) => age < 30 || age > 31),
        [0, 29],
      );
      const { rows: letters } = await admin.query<{ log_offset: string }>(
        "SELECT log_offset FROM ingest_errors ORDER BY 1",
      );
      assert.equal(
        letters.map((r) => r.log_offset),
        ["1", "13"],
      );
      assert.is(
        moved(
          await lane.flush(1, {
            changes: [
              change(dev, { rows: [row(temp, NOW_US - 40 * DAY_US, 1)] }),
            ],
          }),
        ).stored,
        1,
      );
    });
  },
);

rows(
  "a registration that fails at its COMMIT leaves no id behind",
  async () => {
    await withStore("never", async (store, { admin }) => {
      await admin.query(`
      CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no COMMIT' USING ERRCODE = '57P01'; END $$;
      CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON sensors DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.refuse()`);
      const of = device("dev-commit");
      const temperature = sensor(of, "temperature");
      let refused: unknown;
      await store
        .register(PARTITION, [of], [temperature])
        .catch((error: unknown) => (refused = error));
      assert.ok(refused, "the COMMIT must fail");
      assert.equal([of.equipmentId, temperature.id], [0, 0]);

      await admin.query("DROP TRIGGER refuse ON sensors");
      await store.register(PARTITION, [of], [temperature]);
      const { rows: found } = await admin.query<{ id: number; of: number }>(
        "SELECT id, equipment_id AS of FROM sensors",
      );
      assert.equal(found, [{ id: temperature.id, of: of.equipmentId }]);
    });
  },
);

rows.run();
