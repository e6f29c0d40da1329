import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type GatewayRig,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";

const test = suite("POST /api/v1/ingest/test");
const PATH = "/api/v1/ingest/test";

async function outcome(
  rig: GatewayRig,
  body: unknown,
): Promise<Record<string, unknown>> {
  const answer = await rig.post(PATH, body);
  assert.is(answer.status, 200, answer.text);
  return answer.body as Record<string, unknown>;
}

test("says which adapter takes it and what would be stored, and stores nothing", () =>
  withGateway(async (rig) => {
    assert.equal(
      await outcome(rig, {
        device_id: "inv-1",
        payload: {
          schema: "parsec_v1",
          ts: "2026-01-15T09:00:00Z",
          di1: 1,
          di2: 0,
          rssi: -67,
        },
      }),
      {
        outcome: "stored",
        tenant: "default",
        device_id: "inv-1",
        kind: "data",
        adapter: "parsec_v1",
        chosen_by: "schema",
        meta: { src: "parsec_v1" },
        ts: "2026-01-15T09:00:00.000Z",
        points: [
          {
            name: "status",
            t: "enum",
            type_class: "text",
            value: "RUN",
            unit: null,
          },
          {
            name: "fault",
            t: "bool",
            type_class: "bool",
            value: false,
            unit: null,
          },
          {
            name: "rssi",
            t: "num",
            type_class: "num",
            value: -67,
            unit: "dBm",
          },
        ],
        conflicts: [],
        refused: [],
        errors: [],
      },
    );
    const untimed = await outcome(rig, { payload: { temp: 1 } });
    assert.is(untimed["ts"], "2026-01-15T10:00:00.000Z", "the arrival counts");
    assert.is(untimed["adapter"], "plain");
    assert.is(untimed["chosen_by"], "plain");
    assert.equal(rig.records.calls, []);
    assert.equal(rig.view.calls, []);
    assert.equal(rig.log.appended, []);
  }));

test("answers reason and detail of what would be a dead letter", () =>
  withGateway(async (rig) => {
    for (const [body, reason, detail] of [
      [{ payload: [1] }, "invalid_schema", /./],
      [{ payload: null }, "invalid_schema", /./],
      [{ payload: { schema: "nobody" } }, "unknown_schema", /nobody/],
      [
        { payload: { temp: 1, ts: "1999-01-01T00:00:00Z" } },
        "bad_timestamp",
        /2000/,
      ],
      [{ payload: { temp: 1, ts: "2025-01-01T00:00:00Z" } }, "too_old", /./],
      [{ topic: "devices/a b/data", payload: { temp: 1 } }, "bad_topic", /a b/],
      [{ topic: "some/where", payload: { temp: 1 } }, "bad_topic", /expected/],
      // As it was written: parsed by the gateway it would be null, or another number.
      ['{"payload":{"temp":1e999}}', "invalid_schema", /finite|infin/i],
    ] as const) {
      const answer = await outcome(rig, body);
      assert.is(answer["outcome"], "dead_letter", JSON.stringify(body));
      assert.is(answer["reason"], reason, JSON.stringify(answer));
      assert.match(String(answer["detail"]), detail);
    }
  }));

test("goes by the device's registered adapter, and says so", () =>
  withGateway(async (rig) => {
    rig.adapters.registered.set("plug-7", "tasmota");
    const payload = {
      Time: "2026-01-15T09:59:00",
      AM2301: { Humidity: 41 },
      Info: { Version: "14.2" },
    };
    const named = await outcome(rig, { device_id: "plug-7", payload });
    assert.is(named["adapter"], "tasmota");
    assert.is(named["chosen_by"], "registered");
    assert.is(named["ts"], "2026-01-15T09:59:00.000Z");
    assert.equal(named["meta"], { fw: "14.2", src: "tasmota" });
    const topic = await outcome(rig, {
      topic: "devices/plug-7/data",
      payload,
    });
    assert.is(topic["adapter"], "tasmota");
    const other = await outcome(rig, { device_id: "plug-8", payload });
    assert.is(other["chosen_by"], "plain");
    const own = await outcome(rig, {
      device_id: "plug-7",
      payload: { schema: "v9", a: 1 },
    });
    assert.equal(
      [own["reason"], own["adapter"], own["chosen_by"]],
      ["unknown_schema", null, "schema"],
      "the payload's own word goes first",
    );
  }));

test("reasons name the place in the payload", () =>
  withGateway(async (rig) => {
    const point = (v: unknown) => ({ name: "a", t: "int", v });
    const v1 = (...points: unknown[]) => ({
      schema: "v1",
      ts: 1768471200,
      points,
    });
    for (const [body, path, reason] of [
      [{ payload: v1(point(1), point("x")) }, "payload.points[1].v", /whole/],
      [{ payload: { schema: "v9" } }, "payload.schema", /no adapter/],
      [{ payload: { schema: "v1" } }, "payload.ts", /expected a time/],
      [{ payload: {} }, "payload", /points, got none/],
      [{ payload: [1] }, "payload", /./],
      [{ topic: "some/where", payload: 1 }, "topic", /expected/],
      [{ payload: { a: 1, b: { c: 1e300 } } }, "payload.b.c", /./],
      [
        { payload: v1(point(1), point(2)) },
        "payload.points[1]",
        /first counts/,
      ],
    ] as const) {
      const { errors } = await outcome(rig, body);
      const [error, ...more] = errors as { path: string; reason: string }[];
      assert.equal(more, [], JSON.stringify(body));
      assert.is(error?.path, path);
      assert.match(error!.reason, reason);
    }
  }));

test("takes names that are an object's own elsewhere, and the first of two", () =>
  withGateway(async (rig) => {
    const { points } = await outcome(
      rig,
      '{"payload":{"__proto__":1,"constructor":2}}',
    );
    assert.equal(
      (points as { name: string }[]).map(({ name }) => name),
      ["__proto__", "constructor"],
    );
    const twice = await outcome(rig, {
      payload: {
        schema: "v1",
        ts: 1768471200,
        points: [
          { name: "a", t: "num", v: 1 },
          { name: "a", t: "num", v: 2 },
        ],
      },
    });
    assert.is((twice["points"] as unknown[]).length, 1);
    assert.is((twice["conflicts"] as unknown[]).length, 1);
  }));

test("names the numbers that would be refused beside those that would be stored", () =>
  withGateway(async (rig) => {
    const answer = await outcome(rig, { payload: { a: 1e200, b: 1 } });
    assert.is(answer["outcome"], "stored");
    assert.equal(
      (answer["points"] as { name: string }[]).map(({ name }) => name),
      ["b"],
    );
    assert.equal(answer["refused"], [
      {
        name: "a",
        t: "num",
        type_class: "num",
        value: 1e200,
        unit: null,
        detail: "1e+200 is beyond ±1e+140, where averages overflow",
      },
    ]);
  }));

test("reads topics of the caller's own tenant only", () =>
  withGateway(async (rig) => {
    const hello = await outcome(rig, {
      topic: "devices/dev-1/hello",
      payload: "anything",
    });
    assert.is(hello["outcome"], "noted");
    assert.is(hello["kind"], "hello");
    const other = await rig.post(PATH, {
      topic: "traksense/acme/hq/dev-1/telem",
      payload: { temp: 1 },
    });
    assert.is(other.status, 400);
    assert.is(problemIn(other).errors[0]?.path, "body.topic");
  }));

test("refuses a body that is none", () =>
  withGateway(async (rig) => {
    for (const body of [
      "",
      "{",
      "[]",
      "7",
      "null",
      "{}",
      '{"device_id":"a/b","payload":1}',
      '{"topic":7,"payload":1}',
      "[".repeat(500_000),
    ])
      assert.is((await rig.post(PATH, body)).status, 400, body.slice(0, 40));
    const large = await rig.post(
      PATH,
      `{"payload":"${"x".repeat(1_100_000)}"}`,
    );
    assert.is(large.status, 413);
  }));

test.run();
