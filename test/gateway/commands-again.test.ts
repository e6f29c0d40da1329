/** Commands given again under a key, waited for, and canceled. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { CommandRecord } from "../../src/ports.js";
import {
  type Answer,
  type GatewayRig,
  NOW_S,
  NOW_US,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";
import { until } from "../support/wait.js";

const URL = "/devices/dev-1/command";
const KEY = { "idempotency-key": "order-7" };
const bringOnline = (rig: GatewayRig) =>
  rig.view.putOnline({ "dev-1": NOW_S, "dev-2": NOW_S });
const idIn = (answer: Answer) => (answer.body as { cmd_id: string }).cmd_id;
const stateIn = (answer: Answer) => (answer.body as { state: string }).state;
const valuesOf = (rig: GatewayRig) =>
  rig.log.appended.map(
    ({ record }) => JSON.parse(String(record.value)) as Record<string, unknown>,
  );

function put(
  rig: GatewayRig,
  cmdId: string,
  state: CommandRecord["state"],
): void {
  const at = rig.records.given.findIndex((one) => one.cmdId === cmdId);
  const record: CommandRecord = {
    cmdId,
    deviceId: "dev-1",
    op: "x",
    params: {},
    by: "ana",
    state,
    ok: state === "acked" ? true : null,
    err: null,
    createdUs: NOW_US,
    expiresUs: NOW_US + 60_000_000,
    supersedes: null,
    precondition: null,
    history: [],
  };
  if (at === -1) rig.records.given.push(record);
  else rig.records.given[at] = record;
}

const keys = suite("Idempotency-Key of commands");

keys(
  "the same request under the same key is the same command, put on the log once",
  () =>
    withGateway(async (rig) => {
      await bringOnline(rig);
      const first = await rig.post(URL, { op: "x" }, KEY);
      const again = await rig.post(URL, { op: "x" }, KEY);
      assert.is(again.status, 202);
      assert.equal(again.body, first.body);
      assert.is(again.headers["location"], first.headers["location"]);
      put(rig, idIn(first), "delivered");
      // Whether the device is there now does not matter: the command was given.
      rig.time.nowMs += 3_600_000;
      const later = await rig.post(URL, { op: "x" }, KEY);
      assert.is(idIn(later), idIn(first));
      assert.is(stateIn(later), "delivered");
      assert.is(rig.log.appended.length, 1);
    }),
);

keys("another body, another device, another key or another day", () =>
  withGateway(async (rig) => {
    await bringOnline(rig);
    const queue = { op: "x", queue: true };
    const first = await rig.post(URL, queue, KEY);
    const other = await rig.post(URL, { ...queue, op: "y" }, KEY);
    assert.is(other.status, 422);
    assert.is(problemIn(other).code, "IDEMPOTENCY_KEY_TAKEN");
    assert.match(problemIn(other).detail, idIn(first));
    const ids = [
      first,
      await rig.post("/devices/dev-2/command", queue, KEY),
      await rig.post(URL, queue, { "idempotency-key": "order-8" }),
    ].map(idIn);
    rig.time.nowMs += 24 * 3_600_000 + 1;
    ids.push(idIn(await rig.post(URL, queue, KEY)));
    assert.is(new Set(ids).size, 4);
    assert.is(rig.log.appended.length, 4);
    const bad = await rig.post(URL, queue, { "idempotency-key": "a b" });
    assert.is(bad.status, 400);
  }),
);

keys("one that the log did not acknowledge goes again under its id", () =>
  withGateway(async (rig) => {
    await bringOnline(rig);
    rig.log.fail = new TwinstreamError("LOG_UNREACHABLE", "away");
    const failed = await rig.post(URL, { op: "x", ttl_s: 100 }, KEY);
    assert.is(failed.status, 503);
    rig.log.fail = null;
    rig.time.nowMs += 5000;
    const again = await rig.post(URL, { op: "x", ttl_s: 100 }, KEY);
    assert.is(again.status, 202);
    assert.match(problemIn(failed).detail, idIn(again));
    const [value] = valuesOf(rig);
    assert.is(value!["ts"], "2026-01-15T10:00:00.000Z", "as it was given");
    assert.is(value!["expires_at"], "2026-01-15T10:01:40.000Z");
  }),
);

keys("a refused command leaves its key free", () =>
  withGateway(async (rig) => {
    await rig.view.putOnline({ other: NOW_S });
    assert.is((await rig.post(URL, { op: "x" }, KEY)).status, 409);
    await bringOnline(rig);
    rig.time.nowMs += 1000;
    assert.is((await rig.post(URL, { op: "x" }, KEY)).status, 202);
    assert.is(valuesOf(rig)[0]!["ts"], "2026-01-15T10:00:01.000Z");
  }),
);

keys("two at once under one key are one command", () =>
  withGateway(async (rig) => {
    await bringOnline(rig);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => rig.post(URL, { op: "x" }, KEY)),
    );
    assert.is(new Set(answers.map(idIn)).size, 1);
    assert.is(
      new Set(valuesOf(rig).map((value) => value["cmd_id"])).size,
      1,
      "however often it is on the log, its id is one",
    );
  }),
);
keys.run();

const waiting = suite("?wait= for a command's end");

waiting("answers 200 with the command once it has ended", () =>
  withGateway(async (rig) => {
    await bringOnline(rig);
    const asked = rig.post(`${URL}?wait=20`, { op: "x" });
    await until(() => rig.log.appended.length === 1, {
      withinMs: 5000,
      what: "the command to be on the log",
    });
    const cmdId = String(valuesOf(rig)[0]!["cmd_id"]);
    put(rig, cmdId, "delivered");
    const { calls } = rig.records;
    const looks = () => calls.filter((call) => call === "endedCommands").length;
    await until(() => looks() > 1, { withinMs: 5000, what: "two looks" });
    put(rig, cmdId, "acked");
    const answer = await asked;
    assert.is(answer.status, 200);
    assert.is(stateIn(answer), "acked");
    assert.is((answer.body as { ok: boolean }).ok, true);
    assert.is(
      (answer.body as { status_url: string }).status_url,
      answer.headers["location"],
    );
  }),
);

waiting("answers 202 with the command as it is when the time is over", () =>
  withGateway(async (rig) => {
    await bringOnline(rig);
    const begun = performance.now();
    const answer = await rig.post(`${URL}?wait=1`, { op: "x" });
    assert.ok(performance.now() - begun >= 990);
    assert.is(answer.status, 202);
    assert.is(stateIn(answer), "accepted");
    put(rig, idIn(answer), "delivered");
    const url = `/devices/dev-1/commands/${idIn(answer)}`;
    assert.is(stateIn(await rig.get(`${url}?wait=1`)), "delivered");
    put(rig, idIn(answer), "expired");
    assert.is(stateIn(await rig.get(`${url}?wait=30`)), "expired");
    for (const wait of ["31", "-1", "x"])
      assert.is((await rig.get(`${url}?wait=${wait}`)).status, 400);
  }),
);

waiting("a hundred who wait are one question at a time", () =>
  withGateway(async (rig) => {
    put(rig, "01A", "delivered");
    const { calls } = rig.records;
    const asked = Array.from({ length: 100 }, () =>
      rig.get("/devices/dev-1/commands/01A?wait=20"),
    );
    const looks = () => calls.filter((call) => call === "endedCommands").length;
    await until(() => looks() > 2, { withinMs: 5000, what: "three looks" });
    const before = looks();
    put(rig, "01A", "acked");
    for (const answer of await Promise.all(asked))
      assert.is(stateIn(answer), "acked");
    assert.ok(looks() - before <= 2);
  }),
);

waiting("closing the gateway answers who waits", () =>
  withGateway(async (rig) => {
    put(rig, "01A", "delivered");
    const asked = rig.get("/devices/dev-1/commands/01A?wait=30");
    await until(() => rig.records.calls.includes("endedCommands"), {
      withinMs: 5000,
      what: "a look",
    });
    const begun = performance.now();
    await rig.app.close();
    assert.is(stateIn(await asked), "delivered");
    assert.ok(performance.now() - begun < 5000);
  }),
);
waiting.run();

const canceling = suite("DELETE /devices/:id/commands/:cmd_id");

canceling("puts the wish on the log under the device's key", () =>
  withGateway(async (rig) => {
    put(rig, "01A", "sent");
    const answer = await rig.remove("/devices/dev-1/commands/01A");
    assert.is(answer.status, 202);
    assert.equal(answer.body, {
      cmd_id: "01A",
      state: "sent",
      status_url: "/devices/dev-1/commands/01A",
    });
    assert.is(rig.log.appended[0]?.record.key, "dev-1");
    assert.is(rig.log.appended[0]?.topic, "device-commands");
    assert.equal(valuesOf(rig), [
      {
        kind: "cancel",
        tenant: "default",
        device_id: "dev-1",
        cmd_id: "01A",
        by: "anonymous",
        ts: "2026-01-15T10:00:00.000Z",
      },
    ]);
    const audit = rig.observer.events.find(({ type }) => type === "audit");
    assert.equal(
      audit?.type === "audit" && [audit.act, audit.outcome, audit.subject],
      ["cancel", "ok", "dev-1/01A"],
    );
  }),
);

canceling("a command not yet applied may be canceled, an unknown one not", () =>
  withGateway(async (rig) => {
    await bringOnline(rig);
    const { status_url: url } = (await rig.post(URL, { op: "x" })).body as {
      status_url: string;
    };
    const answer = await rig.remove(url);
    assert.is(answer.status, 202);
    assert.is(stateIn(answer), "accepted");
    const unknown = await rig.remove("/devices/dev-1/commands/01X");
    assert.is(unknown.status, 404);
    assert.is(problemIn(unknown).code, "COMMAND_UNKNOWN");
    assert.is(rig.log.appended.length, 2);
  }),
);

canceling(
  "one that has ended is refused with its state; one canceled stays so",
  () =>
    withGateway(async (rig) => {
      for (const state of ["acked", "failed", "expired", "rejected"] as const) {
        put(rig, "01A", state);
        const answer = await rig.remove("/devices/dev-1/commands/01A");
        assert.is(answer.status, 409);
        assert.is(problemIn(answer).code, "COMMAND_ENDED");
        assert.match(problemIn(answer).detail, `is ${state}`);
      }
      put(rig, "01A", "canceled");
      const again = await rig.remove("/devices/dev-1/commands/01A");
      assert.is(again.status, 200);
      assert.is(stateIn(again), "canceled");
      assert.is(rig.log.appended.length, 0);
    }),
);

canceling("waits for what becomes of it", () =>
  withGateway(async (rig) => {
    put(rig, "01A", "queued");
    const asked = rig.remove("/devices/dev-1/commands/01A?wait=20");
    await until(() => rig.log.appended.length === 1, {
      withinMs: 5000,
      what: "the wish to be on the log",
    });
    put(rig, "01A", "canceled");
    const answer = await asked;
    assert.is(answer.status, 200);
    assert.is(stateIn(answer), "canceled");
  }),
);
canceling.run();
