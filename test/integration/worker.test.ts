/** The worker as its own process: uploads become rows, exactly, and what cannot be stored is kept with its reason. */
import { ulid } from "ulid";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { until } from "../support/wait.js";
import { withWorkerRig } from "./worker-rig.js";

const test = suite("worker");

const device = (name: string): string => `${name}-${ulid()}`;
const AT = "2026-01-10T10:00:";
const reading = (
  sensor: string,
  second: number,
  valor: unknown,
  tipo = "temperatura",
): object => ({
  sensor_uuid: sensor,
  sensor_tipo: tipo,
  valor,
  timestamp: `${AT}${String(second).padStart(2, "0")}Z`,
});

test("an upload becomes exactly its rows, with names and types", async () => {
  await withWorkerRig(async (rig) => {
    const first = device("freezer");
    const second = device("fan");
    const worker = await rig.worker();
    const claimId = await rig.upload({
      body: JSON.stringify([
        {
          equip_uuid: first,
          equip_nome: "Freezer Teste",
          sensor: [
            reading("t1", 2, 3.5),
            reading("t1", 1, -2),
            reading("s", 1, "RUN", "estado"),
          ],
        },
        { equip_uuid: second, sensor: [reading("on", 1, true, "bool")] },
      ]),
    });
    const claim = await rig.ended(claimId);
    assert.is(claim.state, "done");
    assert.equal(claim.equipments, { total: 2, stored: 2, failed: 0 });
    assert.equal(claim.readings, { stored: 4, duplicate: 0, failed: 0 });
    assert.equal(claim.errors, []);
    assert.equal(await rig.rows(first), [
      `s ${AT}01 RUN`,
      `t1 ${AT}01 -2`,
      `t1 ${AT}02 3.5`,
    ]);
    assert.equal(await rig.rows(second), [`on ${AT}01 1`]);
    const { rows } = await rig.admin.query(
      `SELECT equip_nome, array_agg(sensor_tipo ORDER BY sensor_tipo) AS types FROM equipments e
       JOIN sensors s ON s.equipment_id = e.id WHERE equip_uuid = $1 GROUP BY 1`,
      [first],
    );
    assert.equal(rows, [
      { equip_nome: "Freezer Teste", types: ["estado", "temperatura"] },
    ]);
    // Its row says so a moment before the object is removed and the claim counted.
    await until(
      async () =>
        (await rig.objects.head(claim.key)) === null &&
        (await worker.metric("claims_total", 'state="done"')) === 1,
      { withinMs: 10_000, what: "the claim to be put away and counted" },
    );
    assert.is(await worker.metric("claim_readings_total", "stored"), 4);
    assert.is(await worker.stop(), 0, worker.output());
  });
});

test("a bad reading or equipment is kept with its path and harms no other", async () => {
  await withWorkerRig(async (rig) => {
    const good = device("good");
    const large = device("large");
    await rig.worker({ BULK_MAX_EQUIPMENT_BYTES: "2000" });
    const time = `${AT}01Z`;
    const claimId = await rig.upload({
      body: `[
        {"equip_uuid":"${good}","sensor":[
          ${JSON.stringify(reading("a", 1, 1))},
          {"sensor_uuid":"a","sensor_tipo":"t","valor":1e400,"timestamp":"${time}"},
          {"sensor_uuid":"a","sensor_tipo":"t","valor":null,"timestamp":"${time}"},
          {"sensor_uuid":"a","sensor_tipo":"t","valor":1e200,"timestamp":"${time}"},
          {"sensor_uuid":"a","sensor_tipo":"t","valor":1},
          {"sensor_uuid":"../a","sensor_tipo":"t","valor":1,"timestamp":"${time}"},
          {"sensor_uuid":"a","sensor_tipo":"t","valor":1,"timestamp":"1999-01-01T00:00:00Z"},
          {"sensor_uuid":"a","sensor_tipo":"t","valor":1,"timestamp":"2999-01-01T00:00:00Z"},
          ${JSON.stringify(reading("a", 2, 2))}]},
        NaN,
        {"equip_uuid":"../../etc","sensor":[]},
        {"equip_uuid":"${large}","equip_nome":"${"x".repeat(3000)}","sensor":[]},
        {"equip_uuid":"${good}","sensor":[${JSON.stringify(reading("a", 3, 3))}]}
      ]`,
    });
    const claim = await rig.ended(claimId);
    assert.is(claim.state, "done");
    assert.equal(claim.equipments, { total: 5, stored: 2, failed: 3 });
    assert.equal(claim.readings, { stored: 3, duplicate: 0, failed: 7 });
    assert.equal(
      claim.errors.map(({ path }) => path),
      [
        "$[0].sensor[1].valor",
        "$[0].sensor[2].valor",
        "$[0].sensor[3].valor",
        "$[0].sensor[4].timestamp",
        "$[0].sensor[5].sensor_uuid",
        "$[0].sensor[6].timestamp",
        "$[0].sensor[7].timestamp",
        "$[1]",
        "$[2].equip_uuid",
        "$[3]",
      ],
    );
    assert.equal(await rig.rows(good), [
      `a ${AT}01 1`,
      `a ${AT}02 2`,
      `a ${AT}03 3`,
    ]);
    const { rows } = await rig.admin.query<{ reason: string; item: number }>(
      "SELECT reason, item FROM ingest_errors WHERE log_topic = 'telemetry.raw' ORDER BY item",
    );
    assert.equal(
      rows.filter(({ item }) => item >= 0).map(({ reason }) => reason),
      [
        "bulk_invalid",
        "bulk_invalid",
        "row_refused",
        "bulk_invalid",
        "bulk_invalid",
        "bad_timestamp",
        "bad_timestamp",
        "parse_error",
        "bulk_invalid",
        "too_large",
      ],
    );
  });
});

test("a reading older than the raw readings are kept is kept as too_old, and harms no other", async () => {
  await withWorkerRig(async (rig) => {
    const aged = device("aged");
    await rig.worker({ RAW_RETENTION_DAYS: "30" });
    const ago = (days: number): string =>
      new Date(Date.now() - days * 86_400_000).toISOString();
    const sensor = [ago(31), ago(29)].map((timestamp, valor) => ({
      sensor_uuid: "a",
      sensor_tipo: "t",
      valor,
      timestamp,
    }));
    const claimId = await rig.upload({
      body: JSON.stringify([{ equip_uuid: aged, sensor }]),
    });
    const claim = await rig.ended(claimId);
    assert.is(claim.state, "done");
    assert.equal(claim.readings, { stored: 1, duplicate: 0, failed: 1 });
    assert.is(claim.errors[0]!.path, "$[0].sensor[0].timestamp");
    const { rows } = await rig.admin.query(
      "SELECT reason, device_id, payload::text AS payload FROM ingest_errors WHERE device_id = $1",
      [aged],
    );
    assert.is(rows.length, 1);
    assert.is(rows[0].reason, "too_old");
    assert.is(
      Buffer.from(rows[0].payload.slice(2), "hex").toString(),
      JSON.stringify(sensor[0]),
    );
    assert.match((await rig.rows(aged))[0]!, / 1$/);
  });
});

test("duplicates are counted, another value is a conflict, the first one stays; one device may come twice", async () => {
  await withWorkerRig(async (rig) => {
    const twice = device("twice");
    await rig.worker();
    const claimId = await rig.upload({
      body: JSON.stringify([
        {
          equip_uuid: twice,
          sensor: [reading("a", 1, 1), reading("a", 1, 1), reading("a", 1, 2)],
        },
        { equip_uuid: twice, sensor: [reading("a", 2, 5), reading("a", 1, 1)] },
      ]),
    });
    const claim = await rig.ended(claimId);
    assert.equal(claim.readings, { stored: 2, duplicate: 2, failed: 1 });
    assert.is(claim.errors.length, 1);
    assert.is(claim.errors[0]!.path, "$[0].sensor[2]");
    assert.equal(await rig.rows(twice), [`a ${AT}01 1`, `a ${AT}02 5`]);
  });
});

test("what can never be stored is rejected with its reason and lies on the dead-letter topic", async () => {
  await withWorkerRig(async (rig) => {
    const ok = JSON.stringify([
      { equip_uuid: device("x"), sensor: [reading("a", 1, 1)] },
    ]);
    const large = JSON.stringify(
      Array.from({ length: 9000 }, (_, i) => ({
        equip_uuid: device("many"),
        sensor: [reading("a", i % 60, i)],
      })),
    );
    const cases = [
      [{ body: ok, stored: false }, /is not there/],
      [{ body: ok, says: { sha256: "0".repeat(64) } }, /SHA-256/],
      [{ body: large, says: { sha256: "0".repeat(64) } }, /SHA-256/],
      [{ body: ok, gzip: false }, /not gzip/],
      [{ body: large, gzip: false }, /not gzip/],
      [{ body: "{}" }, /not a JSON array/],
      [{ body: ok.slice(0, -5) }, /ends within the array/],
      [{ body: `${ok} x` }, /after the array/],
      [{ body: Buffer.alloc(10_000_000, "[") }, /ends within the array/],
      [{ body: ok, says: { originalSize: 10 } }, /inflates to more/],
      [{ body: large, says: { originalSize: 600_000 } }, /inflates to more/],
      [{ body: Buffer.alloc(20_000_000, " ") }, /200 times its size/],
    ] as const;
    const ids = [];
    for (const [upload] of cases) ids.push(await rig.upload(upload));
    const foreign = ulid();
    await rig.append(Buffer.from(`not a claim check ${foreign}`));
    const after = await rig.upload({ body: ok });
    await rig.worker();
    for (const [i, claimId] of ids.entries()) {
      const claim = await rig.ended(claimId);
      assert.is(claim.state, "rejected", String(cases[i]![1]));
      assert.match(claim.errors[0]!.reason, cases[i]![1]);
      const [letter] = await rig.deadLetters(claimId);
      assert.match(letter!.headers["error"] ?? "", cases[i]![1]);
      assert.is(letter!.headers["reason"], "bulk_invalid");
      assert.is(letter!.headers["source-topic"], "telemetry.raw");
    }
    assert.is((await rig.ended(after)).state, "done");
    const [letter] = await rig.deadLetters(foreign);
    assert.is(letter!.headers["reason"], "parse_error");
  });
});

test("a truncated gzip stream is rejected, and what came before its end is stored", async () => {
  await withWorkerRig(async (rig) => {
    const { gzipSync } = await import("node:zlib");
    const whole = gzipSync(
      JSON.stringify(
        Array.from({ length: 20_000 }, (_, i) => ({
          equip_uuid: device("cut"),
          sensor: [reading("a", i % 60, Math.random())],
        })),
      ),
    );
    await rig.worker();
    const claimId = await rig.upload({
      body: whole.subarray(0, whole.length >> 1),
      gzip: false,
      says: { originalSize: 50_000_000 },
    });
    const claim = await rig.ended(claimId);
    assert.is(claim.state, "rejected");
    assert.match(claim.errors[0]!.reason, /breaks off/);
    assert.ok(claim.readings.stored > 1000, String(claim.readings.stored));
    assert.is(
      await rig.count("SELECT count(*) FROM store.telemetry_data"),
      claim.readings.stored,
    );
  });
});

test("reprocessing from the kept file changes nothing that is there", async () => {
  await withWorkerRig(async (rig) => {
    const again = device("again");
    await rig.worker({ DELETE_FILE_AFTER_PROCESSING: "false" });
    const claimId = await rig.upload({
      body: JSON.stringify([
        {
          equip_uuid: again,
          sensor: [
            reading("a", 1, 1),
            reading("a", 1, 2),
            reading("a", 2, null),
          ],
        },
      ]),
    });
    const first = await rig.ended(claimId);
    const everything = (): Promise<number> =>
      rig.count(
        `SELECT (SELECT count(*) FROM store.telemetry_data) * 1000 + (SELECT count(*) FROM ingest_errors) * 10
              + (SELECT count(*) FROM sensors) AS count`,
      );
    const before = await everything();
    const { code, output } = await rig.command(
      "claims",
      "reprocess",
      claimId,
      "--json",
    );
    assert.is(code, 0, output);
    const reopened = JSON.parse(output.trim().split("\n").at(-1)!);
    assert.is(reopened.claimId, claimId);
    const second = await rig.ended(claimId);
    assert.ok(second.finishedMs! >= first.finishedMs!);
    assert.equal(second.readings, { stored: 0, duplicate: 1, failed: 2 });
    assert.equal(second.errors, first.errors);
    assert.is(await everything(), before);
    assert.equal(await rig.rows(again), [`a ${AT}01 1`]);
    const listed = await rig.command("claims", "list", "--state", "done");
    assert.match(listed.output, claimId);
    const unknown = await rig.command("claims", "show", ulid());
    assert.is(unknown.code, 1);
    assert.match(unknown.output, /there is no claim/);
  });
});

test("a hundred thousand sensors in one equipment are stored", async () => {
  await withWorkerRig(async (rig) => {
    const wide = device("wide");
    await rig.worker({ BULK_MAX_EQUIPMENT_BYTES: "20000000" });
    const sensor = Array.from({ length: 100_000 }, (_, i) =>
      reading(`s${i}`, 1, i),
    );
    const claimId = await rig.upload({
      body: JSON.stringify([{ equip_uuid: wide, sensor }]),
    });
    const claim = await rig.ended(claimId, 120_000);
    assert.equal(claim.readings, { stored: 100_000, duplicate: 0, failed: 0 });
    assert.is(await rig.count("SELECT count(*) FROM sensors"), 100_000);
  });
});

test.run();
