/** The check of the log against the database on a live stack, amid bad input: nothing differs, until something is planted. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Explanation } from "../../src/domain/explanation.js";
import { TOPIC } from "../../src/domain/names.js";
import { withRunning } from "../support/fleet.js";
import { runCommand } from "../support/roles.js";
import { foreignRecords } from "./foreign-records.js";
import { withLog } from "./log-access.js";

const test = suite("twinstream ledger and explain");

interface Report {
  readonly checked: number;
  readonly records: Readonly<Record<string, number>>;
  readonly readings: Readonly<Record<string, number>>;
  readonly dead_letters: Readonly<Record<string, number>>;
  readonly differences: number;
  readonly listed: readonly {
    topic: string;
    partition: number;
    offset: number;
    kind: string;
  }[];
}

test("nothing differs on a live stack, a reading is explained, each planted fault is named by its offset", async () => {
  await withRunning({}, async (running) => {
    const { database, env } = running;
    const verify = async (code: number, ...more: string[]) => {
      const ran = await runCommand(
        ["ledger", "verify", "--json", ...more],
        env,
      );
      assert.is(ran.code, code, ran.output);
      const json = ran.output.split("\n").find((text) => text.startsWith("{"));
      return JSON.parse(json!) as Report;
    };
    await running.start("bridge");
    const processor = await running.start("processor");
    await running.simulate(
      "--devices 30 --rate 1000 --messages 1500".split(" "),
    );
    await withLog(env, async (log) => {
      const nowMs = Date.now();
      const foreign = foreignRecords(nowMs);
      for (const topic of [TOPIC.data, TOPIC.commands])
        await log.append(
          topic,
          foreign.filter((one) => (one.topic ?? TOPIC.data) === topic),
        );
      await running.settled();
      await processor.stop();

      const whole = await verify(0);
      const onLog = [
        ...(await log.all(TOPIC.data)),
        ...(await log.all(TOPIC.commands)),
      ];
      assert.is(whole.differences, 0);
      assert.is(whole.checked, onLog.length);
      assert.is(whole.records["in_flight"], 0);
      const { rows: letters } = await database.query<{
        reason: string;
        n: number;
      }>(
        "SELECT reason, count(*)::int AS n FROM ingest_errors WHERE item = -1 GROUP BY reason",
      );
      assert.equal(
        new Map(Object.entries(whole.dead_letters)),
        new Map(letters.map(({ reason, n }) => [reason, n])),
      );
      const { rows: counted } = await database.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM ts_measure",
      );
      assert.is(whole.readings["stored"], counted[0]!.n, "rows of the table");

      const asked = ["foreign-1", "--point", "n", "--at", String(nowMs + 1)];
      const ran = await runCommand(["explain", ...asked, "--json"], env);
      assert.is(ran.code, 0, ran.output);
      const explained = JSON.parse(ran.output) as Explanation;
      assert.is(explained.outcome, "stored", ran.output);
      assert.is(explained.value, 1);
      assert.match(explained.record!.payload.text!, '"n":1');
      const storedMs = Date.parse(explained.stored_at!);
      assert.ok(
        storedMs >= Date.parse(explained.record!.logged_at) &&
          storedMs <= Date.now(),
        `stored at ${explained.stored_at}`,
      );
      const text = await runCommand(["explain", ...asked], env);
      assert.match(text.output, "the payload's ts, Unix milliseconds");
      await running.start("gateway");
      const url = `${running.http}/devices/foreign-1/explain?point=n&at=`;
      const answer = await fetch(`${url}${nowMs + 1}`);
      assert.is(answer.status, 200);
      assert.equal(await answer.json(), explained);
      const none = await fetch(`${url}${nowMs}`);
      const { outcome, nearest } = (await none.json()) as Explanation;
      assert.is(outcome, "never_came");
      assert.is(nearest.later, new Date(nowMs + 1).toISOString());
      const refused = await runCommand(
        ["explain", "foreign-8", "--point", "a", "--at", String(nowMs)],
        env,
      );
      assert.match(refused.output, "dead_lettered");

      const placeOf = (key: string, part: string): string => {
        const record = onLog.find(
          (one) => String(one.key) === key && String(one.value).includes(part),
        );
        return `${record!.topic}/${record!.partition}@${record!.offset}`;
      };
      const ofPoint = `(sensor_id, time) IN (
        SELECT s.id, d.time FROM sensors s JOIN equipments e ON e.id = s.equipment_id
        JOIN store.telemetry_data d ON d.sensor_id = s.id
        WHERE e.equip_uuid = $1 AND s.sensor_uuid = 'n' ORDER BY d.time LIMIT 1)`;
      await database.query(
        `DELETE FROM store.telemetry_data WHERE ${ofPoint}`,
        ["foreign-1"],
      );
      await database.query(
        `UPDATE store.telemetry_data SET value = value + 1e-15 WHERE ${ofPoint}`,
        ["foreign-2"],
      );
      await database.query(
        "ALTER TABLE store.telemetry_data DROP CONSTRAINT telemetry_data_sensor_id_time_key",
      );
      await database.query(
        `INSERT INTO store.telemetry_data SELECT * FROM store.telemetry_data WHERE ${ofPoint}`,
        ["foreign-3"],
      );
      const { rows: removed } = await database.query<{ place: string }>(
        `DELETE FROM ingest_errors WHERE id = (SELECT min(id) FROM ingest_errors WHERE item = -1)
         RETURNING log_topic || '/' || log_partition || '@' || log_offset AS place`,
      );
      const planted = [
        `${placeOf("foreign-1", '"n":1')} row_missing`,
        `${placeOf("foreign-2", '"n":1')} value_changed`,
        `${placeOf("foreign-3", '"n":1')} row_doubled`,
        `${removed[0]!.place} letter_missing`,
      ];
      const found = await verify(1);
      assert.equal(
        found.listed
          .map(
            (one) => `${one.topic}/${one.partition}@${one.offset} ${one.kind}`,
          )
          .toSorted(),
        planted.toSorted(),
      );
      assert.is(found.differences, planted.length);

      // A range is what it says: the one offset, and nothing beside it.
      const [place] = planted[1]!.split(" ");
      const [partition, offset] = place!.split("@");
      const one = await verify(1, "--offsets", `${partition}:${offset}`);
      assert.is(one.checked, 1);
      assert.equal(
        one.listed.map(({ kind }) => kind),
        ["value_changed"],
      );
      assert.is(
        (await verify(0, "--since", "2100-01-01T00:00:00Z")).checked,
        0,
      );
      const said = await runCommand(["ledger", "verify"], env);
      assert.match(said.output, `${place} point 0: value_changed: n of`);
      assert.match(said.output, "4 differences");
    });
    for (const wrong of [
      ["--since", "soon"],
      ["--offsets", "iot-data/3:9-2"],
      ["--offsets", "iot-data/3:1", "--since", "1h"],
    ])
      assert.is(
        (await runCommand(["ledger", "verify", ...wrong], env)).code,
        2,
        wrong.join(" "),
      );
  });
});

test.run();
