/** Workers that die, share and overlap: every reading is one row all the same; and what Redis is shown. */
import { Redis } from "ioredis";
import { ulid } from "ulid";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { until } from "../support/wait.js";
import { withOwnWorkerRig, withWorkerRig } from "./worker-rig.js";

const test = suite("worker that dies");

const START_MS = Date.parse("2026-01-10T00:00:00Z");

/** Equipments of 20 readings each, one a second, each with its own number as value. */
function file(equipments: number, prefix: string): string {
  let value = 0;
  return JSON.stringify(
    Array.from({ length: equipments }, (_, n) => ({
      equip_uuid: `${prefix}-${n % 50}`,
      equip_nome: `Equipment ${n % 50}`,
      sensor: Array.from({ length: 20 }, (_reading, i) => ({
        sensor_uuid: `sensor-${i % 4}`,
        sensor_tipo: "temperatura",
        valor: value++,
        timestamp: new Date(
          START_MS + (Math.floor(n / 50) * 5 + (i >> 2)) * 1000,
        ).toISOString(),
      })),
    })),
  );
}
const EVERYTHING = `
  SELECT (count(*) || '/' || COALESCE(sum(value), 0) || '/' || count(DISTINCT value))
  FROM store.telemetry_data d JOIN sensors s ON s.id = d.sensor_id JOIN equipments e ON e.id = s.equipment_id
  WHERE e.equip_uuid LIKE $1`;

function expected(readings: number): string {
  return `${readings}/${(readings * (readings - 1)) / 2}/${readings}`;
}

test("a worker killed in the middle of a file is followed by another, and every reading is one row", async () => {
  await withWorkerRig(async (rig) => {
    const prefix = `crash-${ulid()}`;
    const equipments = 20_000;
    const first = await rig.worker();
    const claimId = await rig.upload({ body: file(equipments, prefix) });
    const progress = async (): Promise<number> =>
      (await rig.claim(claimId))?.nextEquipment ?? 0;
    await until(async () => (await progress()) > 0, {
      withinMs: 30_000,
      what: "the first equipments to be stored",
    });
    await first.kill();
    const at = await progress();
    assert.ok(at < equipments, "the file was done before the kill");
    await rig.worker();
    const claim = await rig.ended(claimId, 90_000);
    assert.is(claim.state, "done");
    assert.equal(claim.equipments, {
      total: equipments,
      stored: equipments,
      failed: 0,
    });
    assert.equal(claim.readings, {
      stored: equipments * 20,
      duplicate: 0,
      failed: 0,
    });
    const { rows } = await rig.admin.query<Record<string, string>>(EVERYTHING, [
      `${prefix}%`,
    ]);
    assert.is(Object.values(rows[0]!)[0], expected(equipments * 20));
  });
});

test("two workers share the partitions, and one goes on alone when the other is killed", async () => {
  await withWorkerRig(async (rig) => {
    const prefix = `two-${ulid()}`;
    const one = await rig.worker();
    const two = await rig.worker();
    await until(
      async () =>
        (await one.metric("lanes_assigned")) > 0 &&
        (await two.metric("lanes_assigned")) > 0,
      { withinMs: 30_000, what: "both to have partitions" },
    );
    const ids: string[] = [];
    for (let n = 0; n < 60; n++)
      ids.push(
        await rig.upload({
          body: file(50, `${prefix}-${n}`),
          tenant: `tenant-${n % 12}`,
        }),
      );
    const done = (worker: typeof one): Promise<number> =>
      worker.metric("claims_total", 'state="done"');
    await until(async () => (await done(one)) > 0 && (await done(two)) > 0, {
      withinMs: 30_000,
      what: "both to end claims",
    });
    await two.kill();
    for (const claimId of ids) {
      const claim = await rig.ended(claimId, 60_000);
      assert.is(claim.state, "done");
      assert.equal(claim.readings, { stored: 1000, duplicate: 0, failed: 0 });
    }
    assert.is(
      await rig.count(
        `SELECT count(*) FROM store.telemetry_data d JOIN sensors s ON s.id = d.sensor_id
         JOIN equipments e ON e.id = s.equipment_id WHERE e.equip_uuid LIKE $1`,
        `${prefix}%`,
      ),
      60_000,
    );
  });
});

test("Redis and presence are told of an upload by bulk notes", async () => {
  await withOwnWorkerRig(async (rig) => {
    await rig.role("processor");
    await rig.worker();
    const redis = new Redis(rig.env["REDIS_URL"]!);
    try {
      const old = new Date(Date.now() - 40 * 86_400_000).toISOString();
      const recent = new Date(Date.now() - 60_000).toISOString();
      const claimId = await rig.upload({
        body: JSON.stringify([
          {
            equip_uuid: "noted",
            sensor: [
              {
                sensor_uuid: "t",
                sensor_tipo: "x",
                valor: 1.5,
                timestamp: recent,
              },
              { sensor_uuid: "t", sensor_tipo: "x", valor: 1, timestamp: old },
              {
                sensor_uuid: "on",
                sensor_tipo: "x",
                valor: true,
                timestamp: old,
              },
              {
                sensor_uuid: "s",
                sensor_tipo: "x",
                valor: 'a "b"',
                timestamp: recent,
              },
            ],
          },
        ]),
      });
      assert.is((await rig.ended(claimId)).state, "done");
      const payload = await until(
        () => redis.hget("device:last_state:noted", "payload"),
        { withinMs: 30_000, what: "the last state" },
      );
      const note = JSON.parse(payload) as {
        claim_id: string;
        points: { name: string; v: unknown }[];
      };
      assert.is(note.claim_id, claimId);
      assert.equal(
        Object.fromEntries(note.points.map(({ name, v }) => [name, v])),
        { t: 1.5, on: true, s: 'a "b"' },
      );
      assert.is(await redis.zcard("device:history:noted"), 1);
      await until(
        () =>
          rig.count(
            "SELECT count(*) FROM equipments WHERE equip_uuid = 'noted' AND online",
          ),
        { withinMs: 10_000, what: "the device to be on record as online" },
      );
      assert.is(
        await rig.count("SELECT count(*) FROM store.telemetry_data"),
        4,
      );
      assert.is(await rig.count("SELECT count(*) FROM ingest_errors"), 0);
    } finally {
      redis.disconnect();
    }
  });
});

test.run();
