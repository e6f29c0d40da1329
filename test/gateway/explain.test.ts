/** One reading's road, over a pipeline and a gateway in memory. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Explanation } from "../../src/domain/explanation.js";
import { TOPIC } from "../../src/domain/names.js";
import { explainReading, type ExplainDeps } from "../../src/gateway/explain.js";
import { parseTime } from "../../src/domain/time.js";
import type { LogInspector } from "../../src/ports.js";
import { problemIn, withGateway } from "../support/gateway-rig.js";
import { createMemoryExplain } from "../support/memory-explain.js";
import { type Rig, withRig } from "../support/pipeline-rig.js";

const test = suite("the explanation of a reading");
const HOUR_US = 3_600_000_000;
const never = new AbortController().signal;

const depsOf = (rig: Rig, over: Partial<LogInspector> = {}): ExplainDeps => ({
  log: { ...rig.log.inspector, ...over },
  reader: createMemoryExplain(rig.store),
  rules: {
    futureUs: 24 * HOUR_US,
    earliestUs: Date.UTC(2000, 0, 1) * 1000,
    retentionUs: null,
    tenantPrefix: "traksense",
    partitions: 1,
  },
  rawRetentionDays: 30,
  clock: rig.clock,
});

async function explain(
  rig: Rig,
  point: string,
  at: string | number,
  deviceId = "dev-1",
  deps = depsOf(rig),
): Promise<Explanation> {
  const answer = await explainReading(
    { tenant: "default", deviceId, point, atUs: parseTime(at) },
    deps,
    { bytes: Infinity, signal: never, progress: () => undefined },
  );
  assert.ok(answer.complete);
  return answer.explanation;
}

/** A whole second before now, so that it stands the same as ISO 8601, seconds and milliseconds. */
const second = (ago: number): number => Math.floor(Date.now() / 1000) - ago;
const iso = (s: number): string => new Date(s * 1000).toISOString();

test("a stored reading is traced to its record, its bytes, its adapter and what decided its time", () =>
  withRig(async (rig) => {
    const at = second(30);
    const given = `{"schema":"v1", "ts":${at},"points":[{"name":"temp","t":"float","v":7.30}]}`;
    const headers = { "bridge-id": "b-1", "arrival-ms": "1" };
    await rig.produce("dev-1", { n: 1 });
    await rig.produce("dev-2", { schema: "v1", ts: at, points: [] });
    await rig.produce("dev-1", given, { headers });
    await rig.start();
    await rig.settled();
    const it = await explain(rig, "temp", at);
    assert.is(it.outcome, "stored", it.why);
    assert.is(it.value, 7.3);
    assert.is(it.at, iso(at));
    const record = it.record!;
    assert.is(record.topic, TOPIC.data);
    assert.is(record.partition, 0);
    assert.is(record.offset, 2);
    assert.is(record.key, "dev-1");
    assert.equal(record.headers, headers);
    assert.equal(record.payload, {
      bytes: given.length,
      truncated: false,
      text: given,
    });
    assert.equal(record.adapter, { name: "v1", version: 1 });
    assert.is(record.time_rule, "the payload's ts, Unix seconds");
    const arrived = Date.parse(record.arrived_at!);
    assert.ok(Math.abs(Date.now() - arrived) < 60_000);
    assert.ok(Math.abs(Date.parse(record.logged_at) - arrived) < 60_000);
    assert.is(it.searched.records, 2, "the other device's is not looked at");
  }));

test("each rule of time is named", () =>
  withRig(async (rig) => {
    const at = second(30);
    await rig.produce("dev-1", { a: 1, ts: at });
    await rig.produce("dev-1", { b: 1, timestamp: at * 1000 });
    await rig.produce("dev-1", { c: true, time: iso(at) });
    const arrivalMs = at * 1000 + 5;
    await rig.produce("dev-1", { d: "x" }, { arrivalMs });
    await rig.start();
    await rig.settled();
    const rule = async (point: string, when: string | number = at) =>
      (await explain(rig, point, when)).record?.time_rule;
    assert.is(await rule("a"), "the payload's ts, Unix seconds");
    assert.is(await rule("b"), "the payload's timestamp, Unix milliseconds");
    assert.is(await rule("c"), "the payload's time, ISO 8601");
    assert.match((await rule("d", arrivalMs))!, "its arrival at the bridge");
    assert.is((await explain(rig, "c", at)).value, true);
  }));

test("why there is none: conflicts, refusals, dead letters, a redelivery, what never came", () =>
  withRig(async (rig) => {
    const at = second(30);
    const v1 = (points: object[], ts: unknown = at) => ({
      schema: "v1",
      ts,
      points,
    });
    const point = (name: string, v: unknown) => ({ name, t: "float", v });
    await rig.produce("dev-1", v1([point("a", 1)]));
    await rig.produce("dev-1", v1([point("b", 1), point("a", 2)]));
    await rig.produce("dev-1", v1([point("c", 1e200)]));
    await rig.produce("dev-1", v1([point("d", "text")]));
    await rig.produce("dev-1", v1([point("a", 5)], at + 7));
    await rig.produce("dev-3", "not json");
    await rig.start();
    await rig.settled();

    const first = await explain(rig, "a", at);
    assert.is(first.outcome, "stored");
    assert.is(first.record!.offset, 0, "the first in log order");
    const refused = await explain(rig, "c", at);
    assert.is(refused.outcome, "refused");
    assert.is(refused.letter?.reason, "row_refused");
    const dead = await explain(rig, "d", at);
    assert.is(dead.outcome, "dead_lettered");
    assert.is(dead.letter?.reason, "invalid_schema");
    assert.match(dead.why, "points[0].v: expected");
    assert.is(dead.record!.offset, 3);
    const broken = await explain(rig, "x", second(0), "dev-3");
    assert.is(broken.outcome, "dead_lettered");
    assert.is(broken.record!.payload.text, "not json");

    const beside = await explain(rig, "a", at + 3);
    assert.is(beside.outcome, "never_came");
    assert.equal(beside.nearest, { earlier: iso(at), later: iso(at + 7) });
    assert.is((await explain(rig, "z", at + 3)).outcome, "never_came");
    assert.is(
      (await explain(rig, "a", second(3600), "dev-9")).outcome,
      "unknown_device",
    );
    assert.is(
      (await explain(rig, "a", second(40 * 86_400))).outcome,
      "beyond_retention",
    );
  }));

test("a value that lost to an earlier one of an upload is a conflict; a note says which upload", () =>
  withRig(async (rig) => {
    const at = second(30);
    const note = {
      schema: "bulk_v1",
      claim_id: "c-1",
      received_at: iso(at),
      points: [
        { name: "b", t: "num", v: 1, ts: at - 1 },
        { name: "a", t: "num", v: 1, ts: at },
      ],
    };
    await rig.produce("dev-1", { b: 2, ts: at - 5 });
    await rig.start();
    await rig.settled();
    await rig.produce("dev-1", note, { kind: "bulk" });
    await rig.settled();
    const uploaded = await explain(rig, "a", at);
    assert.is(uploaded.outcome, "uploaded");
    assert.is(uploaded.claim_id, "c-1");
    assert.is((await explain(rig, "b", at)).outcome, "never_came");

    const deps = depsOf(rig);
    const lost = {
      ...deps,
      reader: {
        ...deps.reader,
        reading: async (...asked: Parameters<typeof deps.reader.reading>) => ({
          ...(await deps.reader.reading(...asked)),
          sensors: [
            {
              typeClass: "num" as const,
              row: { value: 9, text: null, storedUs: null },
              earlierUs: null,
              laterUs: null,
            },
          ],
        }),
        letters: async () => [
          {
            topic: TOPIC.data,
            partition: 0,
            offset: 0,
            id: 1,
            item: 0,
            reason: "conflict",
            detail: "b holds 9 already",
            storedUs: 0,
          },
        ],
      },
    };
    const conflict = await explain(rig, "b", at - 5, "dev-1", lost);
    assert.is(conflict.outcome, "conflict");
    assert.is(conflict.value, 9);
    assert.is(conflict.record!.value, 2);
    const alone = await explain(rig, "q", at, "dev-1", lost);
    assert.is(alone.outcome, "no_record");
  }));

test("a clock that is hours ahead, one that is days behind, and a record not stored yet are found", () =>
  withRig(async (rig) => {
    const ahead = second(-20 * 3600);
    const behind = second(5 * 86_400);
    await rig.produce("dev-1", { a: 1, ts: ahead });
    await rig.produce("dev-1", { a: 2, ts: behind });
    await rig.start();
    await rig.settled();
    assert.is((await explain(rig, "a", ahead)).outcome, "stored");
    assert.is((await explain(rig, "a", behind)).outcome, "stored");
    const release = rig.store.hold();
    const now = second(0);
    await rig.produce("dev-1", { a: 3, ts: now });
    assert.is((await explain(rig, "a", now)).outcome, "in_flight");
    release();
    await rig.settled();
    assert.is((await explain(rig, "a", now)).outcome, "stored");
  }));

test("a lost row is called missing, with the command that looks for others", () =>
  withRig(async (rig) => {
    const at = second(30);
    await rig.produce("dev-1", { a: 1, ts: at });
    await rig.start();
    await rig.settled();
    const deps = depsOf(rig);
    const { reader } = deps;
    const gone = {
      ...deps,
      reader: {
        ...reader,
        reading: async (...asked: Parameters<typeof reader.reading>) => ({
          ...(await reader.reading(...asked)),
          sensors: [],
        }),
      },
    };
    const it = await explain(rig, "a", at, "dev-1", gone);
    assert.is(it.outcome, "missing");
    assert.match(it.why, "ledger verify --offsets iot-data/0:0");
  }));

test("bytes that are no text come as base64, long ones cut and saying so", () =>
  withRig(async (rig) => {
    const long = `{"a":1,"x":"${"y".repeat(100_000)}`;
    await rig.produce("dev-1", long);
    await rig.start();
    await rig.settled();
    const { payload } = (await explain(rig, "a", second(0))).record!;
    assert.is(payload.bytes, long.length);
    assert.is(payload.truncated, true);
    assert.is(payload.text?.length, 65_536);
  }));

test("the route answers its own tenant, bounds its searches, and names the command line", () =>
  withRig(async (rig) => {
    const at = second(30);
    for (let n = 0; n < 3; n++) await rig.produce("dev-1", { n, ts: at - n });
    await rig.start();
    await rig.settled();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let holds = 0;
    const bounds: LogInspector["bounds"] = async (topic) => {
      if (holds > 0) await held;
      return rig.log.inspector.bounds(topic);
    };
    await withGateway(
      async ({ get, records }) => {
        const known = { site: null, online: false, lastSeenUs: 0, cause: null };
        records.known.push({ deviceId: "dev-1", tenant: "default", ...known });
        const url = `/devices/dev-1/explain?point=n&at=${at}`;
        for (const prefix of ["", "/api/v1"]) {
          const answer = await get(prefix + url);
          assert.is(answer.status, 200, answer.text);
          const it = answer.body as Explanation;
          assert.is(it.outcome, "stored");
          assert.is(it.record!.offset, 0);
        }
        const unknown = await get(url.replace("dev-1", "dev-2"));
        assert.is(unknown.status, 404);
        assert.is(problemIn(unknown).code, "DEVICE_UNKNOWN");
        for (const bad of [
          "soon",
          "1e999",
          "999999999999999999",
          "0000-01-01",
          "9999-12-31",
        ])
          assert.is((await get(url.replace(String(at), bad))).status, 400, bad);

        holds = 2;
        const under = [get(url), get(url)];
        await rig.wait("a third search to be refused", async () => {
          const third = await get(url);
          assert.is(third.status, 503);
          assert.is(problemIn(third).code, "TOO_MANY_SEARCHES");
          assert.match(problemIn(third).detail, "twinstream explain dev-1");
          return true;
        });
        holds = 0;
        release();
        for (const answer of await Promise.all(under))
          assert.is(answer.status, 200);
        assert.is((await get(url)).status, 200, "there is room again");
      },
      { deps: { explain: depsOf(rig, { bounds }) } },
    );
  }));

test("a search that spends its budget says how far it came", () =>
  withRig(
    async (rig) => {
      for (let n = 0; n < 20; n++) await rig.produce("dev-1", { n });
      const question = {
        tenant: "default",
        deviceId: "dev-1",
        point: "z",
        atUs: Date.now() * 1000,
      };
      const spent = await explainReading(question, depsOf(rig), {
        bytes: 500,
        signal: never,
        progress: () => undefined,
      });
      assert.is(spent.complete, false);
      if (!spent.complete) assert.is(spent.upTo.offset, 10);
      const late = await explainReading(question, depsOf(rig), {
        bytes: Infinity,
        signal: AbortSignal.abort(),
        progress: () => undefined,
      });
      assert.is(late.complete, false);
    },
    { batchRecords: 5 },
  ));

test.run();
