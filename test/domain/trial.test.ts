import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ADAPTERS } from "../../src/domain/adapters/registry.js";
import { createTrial, type TrialSetting } from "../../src/domain/trial.js";
import { heard, RULES } from "./records.js";

const test = suite("a trial of an adapter");

const TIME = "2025-11-20T09:00:00";
const tasmota = { Time: TIME, AM2301: { Humidity: 41 } };

const trialOf = (over: Partial<TrialSetting> = {}) =>
  createTrial({
    adapter: ADAPTERS.get("tasmota")!,
    rules: RULES,
    registered: new Map(),
    tenant: null,
    deviceId: null,
    ...over,
  });

test("counts what would change, and shows the first three of each", () => {
  const trial = trialOf();
  for (let i = 0; i < 5; i++) trial.read(heard(tasmota), `place ${i}`);
  trial.read(heard({ power: 7 }), "same");
  trial.read(heard({ DS18B20: { Id: "0113" } }), "nothing measured");
  trial.read(heard({ schema: "v9", POWER: "ON" }), "another schema");
  trial.read(heard({}), "empty");
  const { counts, samples, messages, namedOther } = trial.found;
  assert.equal(counts, {
    now_parses: 1,
    now_differs: 5,
    now_fails: 1,
    same: 1,
    still_fails: 1,
  });
  assert.is(messages, 9);
  assert.is(namedOther, 1);
  assert.equal(
    samples.now_differs.map(({ place }) => place),
    ["place 0", "place 1", "place 2"],
  );
  assert.equal(samples.same, []);
  assert.equal(samples.now_differs[0], {
    place: "place 0",
    tenant: "default",
    deviceId: "dev-1",
    readBy: "plain",
    payload: JSON.stringify(tasmota),
    changes: [
      "~ time: 2025-11-20T10:00:00.123Z → 2025-11-20T09:00:00.000Z",
      `- Time: "${TIME}" (string)`,
      "~ AM2301.Humidity: 41 (num) → 41 % (num)",
    ],
  });
  assert.equal(samples.now_parses[0]?.changes, [
    'before: unknown_schema: schema: no adapter for "v9"',
    "now: 2025-11-20T10:00:00.123Z",
    "+ POWER: true (bool)",
  ]);
  assert.equal(samples.now_fails[0]?.changes, [
    "now: invalid_schema: payload: expected 1 to 1000 points, got none",
  ]);
});

test("what reads a device now is the adapter it is registered with", () => {
  const trial = trialOf({ registered: new Map([["dev-1", "tasmota"]]) });
  trial.read(heard(tasmota), "a");
  assert.is(trial.found.counts.same, 1);
});

test("a dead letter is held against what it was refused for", () => {
  const trial = trialOf();
  const before = { adapter: null, reason: "unknown_schema", detail: "then" };
  trial.read(heard(tasmota), "letter 1", before);
  trial.read(heard({}), "letter 2", before);
  const { counts, samples } = trial.found;
  assert.equal([counts.now_parses, counts.still_fails], [1, 1]);
  assert.is(samples.now_parses[0]?.changes[0], "before: unknown_schema: then");
});

test("what no adapter is asked about is left out, and others' devices are not looked at", () => {
  const all = trialOf();
  all.read(heard("", { kind: "hello" }), "hello");
  all.read(heard("not JSON"), "not JSON");
  all.read(heard([1]), "an array");
  all.read(heard(tasmota, { tenant: "nobody" }), "unknown tenant");
  all.leaveOut();
  assert.is(all.found.notTelemetry, 5);
  assert.is(all.found.messages, 0);

  const one = trialOf({ tenant: "acme", deviceId: "dev-2" });
  one.read(heard(tasmota), "");
  one.read(heard(tasmota, { tenant: "acme" }), "");
  one.read(heard(tasmota, { deviceId: "dev-2" }), "");
  one.read(heard(tasmota, { tenant: "acme", deviceId: "dev-2" }), "");
  assert.is(one.found.messages, 1);
  assert.is(one.found.notTelemetry, 0);
});

test("long payloads and many changes are shortened", () => {
  const trial = trialOf();
  const many = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`POWER${i}`, "ON"]),
  );
  trial.read(heard(many), "");
  const [sample] = trial.found.samples.now_differs;
  assert.ok(sample!.payload.length < 300);
  assert.is(sample!.changes.length, 13);
  assert.is(sample!.changes.at(-1), "… and 488 more");
});

test.run();
