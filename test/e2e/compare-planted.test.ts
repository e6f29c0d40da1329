/**
 * The comparison of ledger and stores, by which every fault test judges, on a live stack in which one thing after the other is
 * planted by hand: each is named, and what was planted before still is.
 */
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { FAULTLESS } from "../../src/simulator/compare.js";
import { withRunning } from "../support/fleet.js";
import { compareLedger } from "../support/ledger.js";
import { withLog } from "./log-access.js";

const test = suite("the ledger against stores with planted faults");

interface Instant {
  readonly device: string;
  readonly at: Date;
}

test("a deleted, added, swapped or doubled row, a gap in the history, a letter and a record too many are each named", () =>
  withRunning({}, async (running) => {
    const { database, env } = running;
    await running.start("bridge");
    const processor = await running.start("processor");
    const ledger = await running.simulate(
      "--devices 20 --rate 1000 --messages 1200 --poison 0.03 --duplicates 0.05 --out-of-order 0.1 --seed 5".split(
        " ",
      ),
    );
    await running.settled();
    await processor.stop();

    const counts = async () => {
      const found = await compareLedger(ledger, env, "sim-");
      return {
        found,
        kinds: Object.fromEntries(
          [...FAULTLESS, "brokerLoss" as const]
            .map((kind) => [kind, found[kind].length] as const)
            .filter(([, count]) => count > 0),
        ),
      };
    };
    const whole = await counts();
    assert.equal(whole.kinds, {}, "nothing is planted yet");
    assert.ok(whole.found.stored > 1000);
    assert.ok(whole.found.duplicates > 10);

    // Instants of several devices, each with the same points; none of them newest, so that the last states stay.
    const { rows: instants } = await database.query<Instant>(
      `SELECT device_id AS device, ts AS at FROM ts_measure
       WHERE device_id LIKE 'sim-%' GROUP BY 1, 2
       HAVING ts < (SELECT max(ts) FROM ts_measure m WHERE m.device_id = ts_measure.device_id)
       ORDER BY 1, 2 LIMIT 300`,
    );
    const sensorsOf = `(SELECT s.id FROM sensors s JOIN equipments e ON e.id = s.equipment_id WHERE e.equip_uuid = $1)`;
    const sql = (text: string, ...values: unknown[]) =>
      database.query(text, values);
    const [lost, thinned, swapped, doubled] = [0, 60, 120, 180].map(
      (n) => instants[n]!,
    ) as [Instant, Instant, Instant, Instant];
    assert.is(
      new Set([lost, thinned, swapped, doubled].map((one) => one.device)).size,
      4,
    );

    await sql(
      `DELETE FROM store.telemetry_data WHERE time = $2 AND sensor_id IN ${sensorsOf}`,
      lost.device,
      lost.at,
    );
    let { found, kinds } = await counts();
    assert.equal(kinds, { missing: 1 });
    assert.match(found.missing[0]!, `${lost.device} `);

    await sql(
      `DELETE FROM store.telemetry_data WHERE (time, sensor_id) IN
         (SELECT time, sensor_id FROM store.telemetry_data WHERE time = $2 AND sensor_id IN ${sensorsOf} LIMIT 1)`,
      thinned.device,
      thinned.at,
    );
    ({ found, kinds } = await counts());
    assert.equal(kinds, { missing: 1, wrong: 1 }, "one reading of a message");
    assert.match(found.wrong[0]!, `${thinned.device} `);

    const { rowCount: moved } = await sql(
      `WITH pair AS (
         SELECT sensor_id, a.time AS one, b.time AS other, a.value AS first, b.value AS second
         FROM store.telemetry_data a JOIN store.telemetry_data b USING (sensor_id)
         WHERE sensor_id IN ${sensorsOf} AND a.time < b.time AND a.value <> b.value LIMIT 1)
       UPDATE store.telemetry_data d SET value = CASE d.time WHEN one THEN second ELSE first END
       FROM pair WHERE d.sensor_id = pair.sensor_id AND d.time IN (one, other)`,
      swapped.device,
    );
    assert.is(moved, 2);
    ({ kinds } = await counts());
    assert.equal(kinds, { missing: 1, wrong: 3 }, "two messages swapped");

    await sql(
      `INSERT INTO store.telemetry_data (time, sensor_id, value)
       SELECT $2::timestamptz + interval '7 microseconds', id, 1 FROM (SELECT min(id) AS id FROM sensors s WHERE s.id IN ${sensorsOf}) m`,
      doubled.device,
      doubled.at,
    );
    ({ found, kinds } = await counts());
    assert.equal(kinds, { missing: 1, wrong: 3, invented: 1 });
    assert.match(found.invented[0]!, `row ${doubled.device} `);

    // The unique key forbids a second row of one reading; without it there may be one.
    const { rows: keys } = await database.query<{ name: string }>(
      "SELECT conname AS name FROM pg_constraint WHERE conrelid = 'store.telemetry_data'::regclass AND contype = 'u'",
    );
    assert.is(keys.length, 1);
    await sql(
      `ALTER TABLE store.telemetry_data DROP CONSTRAINT ${keys[0]!.name}`,
    );
    await sql(
      `INSERT INTO store.telemetry_data (time, sensor_id, value, text_value)
       SELECT time, sensor_id, value, text_value FROM store.telemetry_data
       WHERE time = $2 AND sensor_id IN ${sensorsOf} LIMIT 1`,
      doubled.device,
      doubled.at,
    );
    ({ found, kinds } = await counts());
    assert.equal(kinds, { missing: 1, wrong: 3, invented: 1, doubled: 1 });
    assert.match(found.doubled[0]!, `${doubled.device} `);

    const { rows: letters } = await database.query<{ partition: number }>(
      "DELETE FROM ingest_errors WHERE (log_partition, log_offset) IN (SELECT log_partition, log_offset FROM ingest_errors WHERE item = -1 AND device_id LIKE 'sim-%' LIMIT 1) RETURNING log_partition AS partition",
    );
    assert.is(letters.length, 1);
    ({ kinds } = await counts());
    assert.is(kinds["missing"], 2, "a dead letter that is gone");

    const redis = new Redis(env["REDIS_URL"]!);
    try {
      const gap = instants[240]!.device;
      await redis.zpopmin(`device:history:${gap}`);
      ({ found, kinds } = await counts());
      assert.is(kinds["stale"], 1);
      assert.match(found.stale[0]!, `${gap}: `);
      const last = `device:last_state:${lost.device}`;
      const payload = await redis.hget(last, "payload");
      await redis.hset(last, "payload", payload!.replace("}", " }"));
      ({ kinds } = await counts());
      assert.is(kinds["stale"], 2, "a last state with another payload");
      await redis.hset(last, "timestamp", "1");
      ({ kinds } = await counts());
      assert.is(kinds["stale"], 2, "a last state that went back");
      await redis.del(last);
      ({ kinds } = await counts());
      assert.is(kinds["stale"], 2, "a last state that is gone");
    } finally {
      await redis.quit();
    }

    await withLog(env, async (log) => {
      await log.append(TOPIC.data, [
        {
          key: doubled.device,
          value: Buffer.from(
            JSON.stringify({
              device_id: doubled.device,
              payload: { nobody: "sent this" },
              timestamp: Date.now() / 1000,
            }),
          ),
        },
      ]);
    });
    ({ found, kinds } = await counts());
    assert.is(kinds["invented"], 2, "a record that nobody sent");
    const known = ledger.find(({ class: kind }) => kind === "ok")!;
    const without = ledger.filter(
      ({ dev, sha256 }) => dev !== known.dev || sha256 !== known.sha256,
    );
    const less = await compareLedger(without, env, "sim-");
    assert.is(less.invented.length, 4, "a message that the ledger has not");
  }));

test.run();
