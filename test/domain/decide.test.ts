import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findSensor } from "../../src/domain/sensors.js";
import { deviceReducer, isLater, newDevice } from "../../src/domain/decide.js";
import { joinEffects } from "../../src/domain/effects.js";
import type { DeviceState, Effects } from "../../src/domain/device.js";
import type { DataMessage, Message, Point } from "../../src/domain/message.js";
import { NOW_MS, reading, record } from "../support/messages.js";

const test = suite("what messages do to a device");

const HOUR_US = 3_600_000_000;
const NOW_US = NOW_MS * 1000;
const RULES = { historyUs: 5 * HOUR_US, tenantPrefix: "traksense" };
const reduce = deviceReducer(RULES);
const fresh = newDevice(reading(0));

const apply = (state: DeviceState, ...messages: Message[]) =>
  reduce(state, messages, NOW_MS);

const point = (over: Partial<Point> & { name: string }): Point => ({
  type: "float",
  typeClass: "num",
  value: 1,
  text: null,
  unit: null,
  item: 0,
  ...over,
});

const BASE = {
  address: "dev-1",
  tenant: "default",
  deviceId: "dev-1",
  site: null,
};

test("the last state moves forward only", () => {
  const newer = apply(fresh, reading(1, { timeUs: NOW_US - 10, value: 1 }));
  assert.is(newer.effects.view.last?.offset, 1);
  const older = apply(newer.state, reading(2, { timeUs: NOW_US - 20 }));
  assert.is(older.effects.view.last, null);
  assert.is(older.state.last?.offset, 1);
  assert.is(
    older.effects.store.rows.length,
    1,
    "its row is stored all the same",
  );
  assert.is(older.effects.view.history.length, 1, "and it enters the history");
  assert.is(older.effects.view.publish.length, 1, "and is published");
});

test("firmware is the newest message's that says so, and stored only when it changes", () => {
  const said = (offset: number, firmware: string | null, ageUs = 0) =>
    reading(offset, { firmware, timeUs: NOW_US - ageUs });
  const first = apply(fresh, said(1, "1.0"), said(2, "1.1"), said(3, null));
  assert.is(first.state.firmware, "1.1");
  assert.is(first.effects.store.firmware, "1.1");
  const same = apply(first.state, said(4, "1.1"));
  assert.is(same.effects.store.firmware, null, "nothing to write");
  const late = apply(same.state, said(5, "0.9", 1_000_000));
  assert.is(
    late.state.firmware,
    "1.1",
    "an older message is not the last word",
  );
  assert.is(late.effects.store.firmware, null);
  const { store } = joinEffects(first.state.device, [
    first.effects,
    same.effects,
  ]);
  assert.is(store.firmware, "1.1");
});

test("a sensor without a unit is registered again with the first that is said", () => {
  const said = (offset: number, unit: string | null) =>
    reading(offset, { points: [point({ name: "temp", unit })] });
  const first = apply(fresh, said(1, null));
  const [row] = first.effects.store.rows;
  row!.sensor.id = 7;
  const again = apply(first.state, said(2, null), said(3, "°C"), said(4, "°F"));
  assert.equal(
    again.effects.store.rows.map(({ sensor }) => [sensor.id, sensor.unit]),
    [
      [7, null],
      [0, "°C"],
      [0, "°C"],
    ],
  );
});

test("a clock that is ahead cannot freeze a device: its message counts as of its arrival", () => {
  const ahead = reading(1, { timeUs: NOW_US + HOUR_US });
  const { state, effects } = apply(fresh, ahead);
  assert.is(state.last?.orderUs, NOW_US + 999);
  assert.is(effects.view.last?.timeUs, NOW_US + HOUR_US);
  const next = apply(
    state,
    reading(2, { timeUs: NOW_US + 1000, arrivalUs: NOW_US + 1000 }),
  );
  assert.is(next.effects.view.last?.offset, 2);
});

test("two messages of one millisecond, swapped on the way: the newer one is the last", () => {
  const { effects } = apply(
    fresh,
    reading(1, { timeUs: NOW_US + 1, arrivalUs: NOW_US }),
    reading(2, { timeUs: NOW_US, arrivalUs: NOW_US }),
  );
  assert.is(effects.view.last?.offset, 1);
});

test("of two messages of the same instant the later one in the log is the last", () => {
  const { effects } = apply(fresh, reading(7), reading(8));
  assert.is(effects.view.last?.offset, 8);
  const at = { orderUs: 5, offset: 3 };
  assert.is(isLater(at, null), true);
  assert.is(isLater(at, at), false);
  assert.is(isLater({ orderUs: 5, offset: 4 }, at), true);
  assert.is(isLater({ orderUs: 6, offset: 1 }, at), true);
  assert.is(isLater({ orderUs: 4, offset: 9 }, at), false);
});

test("messages older than the history window are stored and published but not kept in the history", () => {
  const edge = NOW_US - RULES.historyUs;
  const { effects } = apply(
    fresh,
    reading(1, { timeUs: edge - 1 }),
    reading(2, { timeUs: edge }),
  );
  assert.equal(
    effects.view.history.map(({ score }) => score),
    [edge / 1e6],
  );
  assert.is(effects.view.publish.length, 2);
  assert.is(effects.store.rows.length, 2);
});

const untimed = (
  offset: number,
  id: string,
  over: Partial<DataMessage> = {},
): DataMessage => reading(offset, { untimedId: id, ...over });

test("a redelivered message without a time of its own is a duplicate when it is among the last 16", () => {
  const { state } = apply(fresh, untimed(1, "b:1:x"));
  const again = apply(state, untimed(2, "b:1:x", { redelivered: true }));
  assert.is(again.effects.outcome.duplicates, 1);
  assert.is(again.effects.store.rows.length, 0);
  assert.is(again.effects.view.publish.length, 0);
  assert.is(again.effects.store.untimed, null, "the list stays as it is");
  assert.is(again.effects.view.seenUs, NOW_US, "the device shows life");
});

test("the same packet without the DUP flag is another message: packet ids come round", () => {
  const { effects } = apply(fresh, untimed(1, "b:1:x"), untimed(2, "b:1:x"));
  assert.is(effects.outcome.duplicates, 0);
  assert.is(effects.store.rows.length, 2);
});

test("a redelivered message of another bridge, packet or payload is no duplicate", () => {
  const { state } = apply(fresh, untimed(1, "b:1:x"));
  for (const id of ["c:1:x", "b:2:x", "b:1:y"]) {
    const { effects } = apply(state, untimed(2, id, { redelivered: true }));
    assert.is(effects.store.rows.length, 1, id);
  }
});

test("a redelivered message whose first delivery was 17 messages ago is no duplicate", () => {
  let { state } = apply(fresh, untimed(0, "b:0:x"));
  for (let i = 1; i < 16; i++)
    ({ state } = apply(state, untimed(i, `b:${i}:x`)));
  const kept = apply(state, untimed(20, "b:0:x", { redelivered: true }));
  assert.is(kept.effects.outcome.duplicates, 1);
  ({ state } = apply(state, untimed(16, "b:16:x")));
  assert.is(state.untimed.length, 16);
  const gone = apply(state, untimed(20, "b:0:x", { redelivered: true }));
  assert.is(gone.effects.outcome.duplicates, 0);
});

test("a redelivered message with a time of its own goes to the database, which knows it by its time", () => {
  const { effects } = apply(
    fresh,
    reading(1),
    reading(2, { redelivered: true }),
  );
  assert.is(effects.outcome.duplicates, 0);
  assert.is(effects.store.rows.length, 2);
});

test("a point name that stands twice in a message makes one row and one conflict", () => {
  const twice = reading(1, {
    points: [point({ name: "a", value: 1 })],
    conflicts: [point({ name: "a", value: 2, item: 1 })],
  });
  const { store } = apply(fresh, twice).effects;
  assert.equal(
    store.rows.map(({ value }) => value),
    [1],
  );
  const [letter] = store.deadLetters;
  assert.is(letter?.reason, "conflict");
  assert.is(letter!.item, 1);
  assert.is(letter!.topic, "devices/dev-1/data");
});

test("a point whose number is beyond bearing makes no row, and Redis shows the message as it came", () => {
  const message = reading(1, {
    points: [point({ name: "a", value: 1 })],
    refused: [point({ name: "b", value: 1e200, item: 1 })],
  });
  const { store, view, outcome } = apply(fresh, message).effects;
  assert.equal(
    store.rows.map(({ sensor }) => sensor.name),
    ["a"],
  );
  assert.is(outcome.points, 1);
  const [letter] = store.deadLetters;
  assert.is(letter!.reason, "row_refused");
  assert.is(letter!.item, 1);
  assert.is(
    letter!.detail,
    'points[1].v: "b": 1e+200 is beyond ±1e+140, where averages overflow',
  );
  assert.is(view.last?.payload, message.payload);
  assert.is(view.publish.length, 1);
});

test("of points left out the first holds the message's bytes, the others their reading alone", () => {
  const message = reading(1, {
    points: [],
    conflicts: [point({ name: "a", value: 3, item: 2 })],
    refused: [0, 1, 3].map((item) =>
      point({ name: `p${item}`, value: 1e200, item }),
    ),
    payload: `{"note":"${"x".repeat(2000)}"}`,
  });
  const letters = apply(fresh, message).effects.store.deadLetters;
  assert.equal(
    letters.map(({ item, reason }) => [item, reason]),
    [
      [0, "row_refused"],
      [1, "row_refused"],
      [2, "conflict"],
      [3, "row_refused"],
    ],
  );
  assert.is(String(letters[0]!.payload), message.payload);
  const ts = new Date(NOW_MS).toISOString();
  assert.equal(
    letters.slice(1).map(({ payload }) => JSON.parse(String(payload))),
    [
      { name: "p1", t: "float", v: 1e200, ts },
      { name: "a", t: "float", v: 3, ts },
      { name: "p3", t: "float", v: 1e200, ts },
    ],
  );
});

test("a point that changes its type class becomes a second sensor, and both stay known", () => {
  const number = reading(1, { points: [point({ name: "a" })] });
  const text = reading(2, {
    points: [
      point({
        name: "a",
        type: "text",
        typeClass: "text",
        value: null,
        text: "x",
      }),
    ],
  });
  const { state, effects } = apply(fresh, number, text, number);
  const [first, second, third] = effects.store.rows;
  assert.is(first!.sensor.typeClass, "num");
  assert.is(second!.sensor.typeClass, "text");
  assert.is(third!.sensor, first!.sensor);
  assert.is(findSensor(state.sensors, "text", "a"), second!.sensor);
});

test("an id that registration gives to a sensor holds for its later rows", () => {
  const one = apply(fresh, reading(1));
  one.effects.store.rows[0]!.sensor.id = 77;
  const two = apply(one.state, reading(2));
  assert.is(two.effects.store.rows[0]!.sensor.id, 77);
});

const stateOf = (online: boolean, arrivalUs: number, retained = false) => ({
  ...BASE,
  kind: "state" as const,
  source: { ...record(1), headers: retained ? { "mqtt-retained": "1" } : {} },
  arrivalUs,
  online,
});
const helloAt = (arrivalUs: number, retained = false): Message => ({
  ...BASE,
  kind: "hello",
  source: { ...record(1), headers: retained ? { "mqtt-retained": "1" } : {} },
  arrivalUs,
});

test("a will does not count as seen, a state of online does", () => {
  const off = apply(fresh, stateOf(false, NOW_US)).effects;
  assert.equal(off.store.gone, { atUs: NOW_US, seenUs: 0 });
  assert.is(off.view.gone, off.store.gone);
  assert.is(off.store.seenUs, 0);
  const on = apply(fresh, stateOf(false, NOW_US), stateOf(true, NOW_US));
  assert.is(on.effects.store.gone, null);
  assert.is(on.effects.store.seenUs, NOW_US);
});

test("of presence the latest word stands: what came after an offline undoes it, an offline older than life is no word", () => {
  const back = apply(fresh, stateOf(false, NOW_US), reading(1)).effects;
  assert.is(back.store.gone, null, "data after it");
  const gone = apply(fresh, helloAt(NOW_US - 5), stateOf(false, NOW_US));
  assert.equal(gone.effects.view.gone, { atUs: NOW_US, seenUs: NOW_US - 5 });
  assert.is(gone.effects.view.seenUs, NOW_US - 5);
  const late = apply(fresh, helloAt(NOW_US), stateOf(false, NOW_US - 5));
  assert.is(late.effects.store.gone, null, "in the same batch");
  const batchLater = apply(late.state, stateOf(false, NOW_US - 5));
  assert.is(batchLater.effects.store.gone, null, "in a later batch");
});

test("what the broker had kept is taken, and says nothing of whether the device is there", () => {
  const { effects, state } = apply(
    fresh,
    helloAt(NOW_US, true),
    stateOf(true, NOW_US, true),
  );
  assert.is(effects.store.seenUs, 0);
  assert.is(state.seenUs, 0);
  assert.is(effects.outcome.noted, 1);
  assert.is(effects.outcome.hello, 1);
  const alive = apply(fresh, helloAt(NOW_US - 5));
  const kept = apply(alive.state, stateOf(false, NOW_US, true)).effects;
  assert.is(kept.store.gone, null);
});

test("messages applied one by one join to the same word on presence as in one batch", () => {
  const messages = [
    helloAt(NOW_US - 9),
    stateOf(false, NOW_US - 8),
    helloAt(NOW_US - 7),
    stateOf(false, NOW_US - 6),
  ];
  for (let n = 1; n <= messages.length; n++) {
    const some = messages.slice(0, n);
    const whole = apply(fresh, ...some).effects;
    let state = fresh;
    const parts = some.map((message) => {
      const one = apply(state, message);
      state = one.state;
      return one.effects;
    });
    const joined = joinEffects(fresh.device, parts);
    assert.equal(joined.store.gone, whole.store.gone, `${n} messages`);
    assert.is(joined.store.seenUs, whole.store.seenUs);
  }
});

test("a bulk note feeds the view and presence and makes no rows", () => {
  const note: Message = {
    ...BASE,
    kind: "bulk",
    source: record(1),
    arrivalUs: NOW_US,
    claimId: "c",
    timeUs: NOW_US - 50,
    seenUs: NOW_US - 20,
    points: [point({ name: "a" })],
    payload: "{}",
  };
  const { effects } = apply(fresh, note);
  assert.is(effects.store.rows.length, 0);
  assert.is(effects.view.last?.orderUs, NOW_US - 50);
  assert.is(effects.view.seenUs, NOW_US - 20);
  assert.is(effects.outcome.noted, 1);
});

test("a release ends a quarantine", () => {
  const quarantined = { ...fresh, quarantinedUntilMs: NOW_MS + 1000 };
  const release: Message = {
    ...BASE,
    kind: "release",
    source: record(1),
    arrivalUs: 0,
  };
  const { state, effects } = apply(quarantined, release);
  assert.is(state.quarantinedUntilMs, 0);
  assert.is(effects.store.quarantinedUntilMs, 0);
  assert.is(
    apply(quarantined, reading(2)).effects.store.quarantinedUntilMs,
    null,
  );
});

test.run();

// ---------------------------------------------------------------- any messages, any batches

const laws = suite("batches do not matter");

const name = fc.constantFrom("a", "b");
const points = fc.array(
  fc.record({
    name,
    typeClass: fc.constantFrom("num" as const, "text" as const),
    value: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 3 },
);

/** Any message of dev-1 but for its place in the log. */
const anyMessage = fc.oneof(
  fc
    .record({
      backUs: fc.integer({ min: -10, max: 6 * 3600 }).map((s) => s * 1e6),
      arrivalUs: fc.integer({ min: 0, max: 30 }).map((s) => NOW_US - s * 1e6),
      points,
      untimedId: fc.option(
        fc.integer({ min: 0, max: 20 }).map((n) => `b:${n}:x`),
      ),
      redelivered: fc.boolean(),
    })
    .map(
      ({ backUs, points: given, ...rest }) =>
        (offset: number): Message =>
          reading(offset, {
            ...rest,
            timeUs: NOW_US - backUs,
            points: given.map(({ name: of, typeClass, value }, item) =>
              typeClass === "num"
                ? point({ name: of, value, item })
                : point({
                    name: of,
                    type: "text",
                    typeClass,
                    value: null,
                    text: `${value}`,
                    item,
                  }),
            ),
            payload: JSON.stringify({ offset }),
          }),
    ),
  fc.constantFrom<(offset: number) => Message>(
    (offset) => ({
      ...BASE,
      kind: "hello",
      source: record(offset),
      arrivalUs: NOW_US - offset,
    }),
    (offset) => ({
      ...BASE,
      kind: "state",
      source: record(offset),
      arrivalUs: NOW_US + offset,
      online: offset % 2 === 0,
    }),
    (offset) => ({
      ...BASE,
      kind: "event",
      source: record(offset),
      arrivalUs: NOW_US,
      timeUs: NOW_US,
      payload: "{}",
      hash: `${offset}`,
    }),
    (offset) => ({
      ...BASE,
      kind: "release",
      source: record(offset),
      arrivalUs: 0,
    }),
    (offset) => ({
      ...BASE,
      kind: "command",
      source: record(offset),
      arrivalUs: 0,
      command: {
        cmdId: `c${offset}`,
        op: "x",
        params: {},
        by: "",
        createdUs: 0,
        expiresUs: 0,
        queue: false,
        supersedes: null,
        precondition: null,
        extra: {},
      },
    }),
  ),
);

const messageLists = fc
  .array(anyMessage, { minLength: 1, maxLength: 40 })
  .map((makers) => makers.map((make, offset) => make(offset)));

/** Splits a list before the places whose flag is set. */
function split<T>(list: readonly T[], flags: readonly boolean[]): T[][] {
  const parts: T[][] = [[]];
  for (const [i, one] of list.entries()) {
    if (i > 0 && flags[i % flags.length]) parts.push([]);
    parts.at(-1)!.push(one);
  }
  return parts;
}

function inParts(messages: Message[], flags: readonly boolean[]) {
  let state = fresh;
  const parts: Effects[] = [];
  for (const batch of split(messages, flags)) {
    const applied = reduce(state, batch, NOW_MS);
    state = applied.state;
    parts.push(applied.effects);
  }
  return { state, parts };
}

laws(
  "any split of messages into batches gives the same state, and joined the same effects",
  () => {
    fc.assert(
      fc.property(
        messageLists,
        fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
        (messages, flags) => {
          const whole = reduce(fresh, messages, NOW_MS);
          const { state, parts } = inParts(messages, flags);
          assert.equal(state, whole.state);
          assert.equal(joinEffects(fresh.device, parts), whole.effects);
        },
      ),
      { numRuns: 300, seed: 1 },
    );
  },
);

laws("a reduction changes nothing of the state that it is given", () => {
  fc.assert(
    fc.property(messageLists, messageLists, (first, second) => {
      const { state } = reduce(fresh, first, NOW_MS);
      const before = structuredClone(state);
      reduce(state, second, NOW_MS);
      assert.equal(structuredClone(state), before);
    }),
    { numRuns: 100, seed: 2 },
  );
});

laws(
  "every data message is stored or a duplicate, and every reading a row",
  () => {
    fc.assert(
      fc.property(messageLists, (messages) => {
        const { effects } = reduce(fresh, messages, NOW_MS);
        const data = messages.filter(({ kind }) => kind === "data");
        const { outcome, store } = effects;
        assert.is(outcome.data, data.length);
        const stored = new Set(store.rows.map(({ source }) => source.offset));
        assert.is(stored.size + outcome.duplicates, data.length);
        assert.is(store.rows.length, outcome.points);
      }),
      { numRuns: 100, seed: 3 },
    );
  },
);

laws.run();
