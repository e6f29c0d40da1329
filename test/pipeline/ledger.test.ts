/** Every class of record and reading, and every fault that can be planted, with the pipeline's own doubles. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { checkRange } from "../../src/pipeline/ledger.js";
import { type LedgerPlan, planRange } from "../../src/pipeline/ledger-plan.js";
import { type Difference, newTally } from "../../src/pipeline/ledger-tally.js";
import type { Decode } from "../../src/pipeline/prepare.js";
import type { LedgerStanding } from "../../src/ports.js";
import {
  createMemoryLedger,
  type MemoryLedger,
} from "../support/memory-ledger.js";
import { type Rig, withRig } from "../support/pipeline-rig.js";

const test = suite("the log held against the database");
const AT = "2026-01-15T10:00:00Z";
const never = new AbortController().signal;
const v1 = (v: unknown, ts: string, t = "float") => ({
  schema: "v1",
  ts,
  points: [{ name: "temp", t, v }],
});

async function verify(
  rig: Rig,
  ledger: MemoryLedger,
  {
    from = 0,
    to = Infinity,
    decode = rig.decoder.decode,
    otherwise = [] as Decode[],
  } = {},
) {
  const standing = await ledger.standing(Date.now());
  const tally = newTally();
  const found: Difference[] = [];
  const plans: LedgerPlan[] = [];
  for (const topic of [TOPIC.commands, TOPIC.data]) {
    const [bounds] = await rig.log.inspector.bounds(topic);
    const plan = planRange(
      { topic, partition: 0, from: topic === TOPIC.data ? from : 0, to },
      bounds!,
      standing,
      "log-1",
    );
    plans.push(plan);
    await checkRange(
      plan,
      {
        log: rig.log.inspector,
        store: ledger,
        clusterId: "log-1",
        standing,
        decode: (name) =>
          name === TOPIC.commands ? rig.decoder.decodeCommand : decode,
        otherwise,
        tally,
        differ: (difference) => void found.push(difference),
        progress: () => undefined,
      },
      never,
    );
  }
  const named = found.map(
    ({ topic, offset, item, kind }) => `${topic}@${offset}/${item} ${kind}`,
  );
  return { tally, found, named, plans };
}

/** One of each kind on the log, in this order from offset 0 on. */
async function oneOfEach(rig: Rig): Promise<void> {
  await rig.command("dev-1", "c-1");
  await rig.produce("dev-1", v1(7.3, AT)); // 0
  await rig.produce("dev-1", v1(7.3, AT)); // 1: duplicate
  await rig.produce("dev-1", v1(8.5, AT)); // 2: conflict
  await rig.produce("dev-1", "not json"); // 3: dead letter
  await rig.produce("dev-1", "", { kind: "hello" }); // 4: noted
  await rig.produce("dev-1", { alarm: 1, ts: AT }, { kind: "event" }); // 5
  await rig.produce("dev-1", { cmd_id: "c-1", ok: true }, { kind: "ack" }); // 6
  await rig.produce("dev-1", {
    ...v1(1e200, "2026-01-15T10:00:01Z"),
    points: [
      { name: "temp", t: "float", v: 1e200 }, // refused
      { name: "temp", t: "float", v: 1 }, // conflict within the message
      { name: "mode", t: "enum", v: "RUN" },
    ],
  }); // 7
  const headers = (dup: string) => ({
    "bridge-id": "b",
    "mqtt-packet-id": "7",
    "mqtt-dup": dup,
  });
  await rig.produce("dev-1", { n: 1 }, { headers: headers("0") }); // 8
  await rig.produce("dev-1", { n: 1 }, { headers: headers("1") }); // 9: redelivered
}

const withEach = (
  work: (rig: Rig, ledger: MemoryLedger) => Promise<void>,
): Promise<void> =>
  withRig(async (rig) => {
    await oneOfEach(rig);
    await rig.start();
    await rig.settled();
    await work(rig, createMemoryLedger(rig.store));
  });

test("every record and every reading is exactly one thing, and nothing differs", () =>
  withEach(async (rig, ledger) => {
    const { tally, named } = await verify(rig, ledger);
    assert.equal(named, []);
    assert.equal(tally.records, {
      stored: 7,
      duplicate: 2,
      noted: 1,
      dead_lettered: 1,
      beyond_retention: 0,
      differing: 0,
    });
    assert.equal(tally.readings, {
      stored: 3,
      duplicate: 2,
      conflict: 2,
      refused: 1,
      beyond_retention: 0,
      differing: 0,
    });
    assert.equal([...tally.deadLetters], [["parse_error", 1]]);
    assert.is(tally.unproven, 0);
  }));

test("a redelivery whose first delivery lies outside of the range is counted as unproven", () =>
  withEach(async (rig, ledger) => {
    const { tally, named } = await verify(rig, ledger, {
      from: 9,
      to: 10,
    });
    assert.equal(named, []);
    assert.is(tally.records.duplicate, 1);
    assert.is(tally.unproven, 1);
  }));

test("a deleted row is found at every record that gave its value", () =>
  withEach(async (rig, ledger) => {
    ledger.tamper((row) =>
      row.value === 7.3 ? null : { ...row, doubled: false },
    );
    const { named, tally } = await verify(rig, ledger);
    assert.equal(named, [
      "iot-data@0/0 row_missing",
      "iot-data@1/0 row_missing",
    ]);
    assert.is(tally.records.differing, 2);
    assert.is(tally.readings.differing, 2);
  }));

test("a changed value is found, even when it is the one of a later conflict", () =>
  withEach(async (rig, ledger) => {
    ledger.tamper((row) => ({
      value: row.value === 7.3 ? 8.5 : row.value,
      text: row.text,
      doubled: false,
    }));
    const { found, named } = await verify(rig, ledger);
    assert.equal(named, [
      "iot-data@0/0 value_changed",
      "iot-data@1/0 value_changed",
    ]);
    assert.match(found[0]!.detail, "the log says 7.3, the row says 8.5");
  }));

test("a changed text, a doubled row and a changed last bit are found", () =>
  withEach(async (rig, ledger) => {
    ledger.tamper((row) => ({
      value: row.value === 7.3 ? 7.300000000000001 : row.value,
      text: row.text === null ? null : "STOP",
      doubled: row.name === "n",
    }));
    const { named } = await verify(rig, ledger);
    assert.equal(named, [
      "iot-data@0/0 value_changed",
      "iot-data@1/0 value_changed",
      "iot-data@7/2 value_changed",
      "iot-data@8/0 row_doubled",
    ]);
  }));

test("each dead letter that is removed is found, of a record or of a point", () =>
  withEach(async (rig, ledger) => {
    for (const place of ["2/0", "3/-1", "7/0", "7/1"])
      ledger.forgetLetter(`iot-data/0/${place}`);
    const { named } = await verify(rig, ledger);
    assert.equal(named, [
      "iot-data@2/0 value_changed",
      "iot-data@3/-1 letter_missing",
      "iot-data@7/1 letter_missing",
      "iot-data@7/0 letter_missing",
    ]);
  }));

test("events, acks and commands that are not there are found", () =>
  withEach(async (rig, ledger) => {
    ledger.events = async (keys) => keys.map(() => false);
    ledger.acks = async (keys) => keys.map(() => false);
    ledger.commands = async (keys) => keys.map(() => false);
    const { named } = await verify(rig, ledger);
    assert.equal(named, [
      "device-commands@0/-1 command_missing",
      "iot-data@5/-1 event_missing",
      "iot-data@6/-1 ack_missing",
    ]);
  }));

test("what the retention has taken is counted apart, rows and letters each by their own", () =>
  withEach(async (rig, ledger) => {
    ledger.tamper(() => null);
    ledger.forgetLetter("iot-data/0/3/-1");
    ledger.kept = {
      rowsFromMs: Date.now() + 1000,
      lettersFromMs: Date.now() + 1000,
    };
    const { named, tally } = await verify(rig, ledger);
    assert.equal(named, []);
    assert.is(tally.records.beyond_retention, 4, "three messages, one letter");
    assert.is(tally.readings.beyond_retention, 4);
    assert.is(tally.readings.conflict, 2, "letters that are still there count");
  }));

test("a letter of the whole record stands for it, unless it gives a lasting reason that is not the record's", () =>
  withRig(async (rig) => {
    await rig.produce("dev-1", { schema: "other_v9", n: 1 });
    await rig.produce("dev-1", { schema: "v1", points: [] });
    await rig.start();
    await rig.settled();
    const ledger = createMemoryLedger(rig.store);
    const own = rig.decoder.decode;
    // As if an adapter had been added since.
    const mended: Decode = (record) => {
      const text = String(record.value).replace('"schema":"other_v9",', "");
      return own({ ...record, value: Buffer.from(text) });
    };
    const { named, tally } = await verify(rig, ledger, { decode: mended });
    assert.equal(named, []);
    assert.equal(
      [...tally.deadLetters],
      [
        ["unknown_schema", 1],
        ["invalid_schema", 1],
      ],
    );
    const letters = ledger.letters;
    ledger.letters = async (...asked) =>
      (await letters(...asked)).map((one) => ({ ...one, reason: "too_large" }));
    assert.equal(
      (await verify(rig, ledger)).named,
      ["iot-data@1/-1 letter_differs"],
      "an unknown schema may have become known and then unknown again",
    );
  }));

test("a reading that another adapter gave then is found; one that is under none is missing", () =>
  withRig(async (rig) => {
    await rig.produce("dev-1", { n: 1 });
    await rig.produce("dev-1", { n: 2 });
    await rig.start();
    await rig.settled();
    const ledger = createMemoryLedger(rig.store);
    const own = rig.decoder.decode;
    // As if the device had been registered since with an adapter that gives other names, or reads nothing at all.
    const renaming: Decode = (record) => {
      const text = String(record.value)
        .replace('"n":1', '"m":1')
        .replace('{"n":2}', '"?"');
      return { ...own({ ...record, value: Buffer.from(text) }), adapter: "a" };
    };
    const given = { decode: renaming, otherwise: [renaming, own] };
    assert.equal((await verify(rig, ledger, given)).named, []);
    ledger.tamper((row) =>
      row.value === 1 ? null : { ...row, doubled: false },
    );
    const { named } = await verify(rig, ledger, given);
    assert.equal(named, ["iot-data@0/0 row_missing"]);
  }));

test("a replayed record that fails again is known by its first letter, other headers are nothing", () =>
  withRig(async (rig) => {
    await rig.produce("dev-1", "broken");
    await rig.produce("dev-1", "broken", {
      headers: { "replay-of": "iot-data/0/0", "x-other": "1" },
    });
    await rig.produce("dev-1", "broken", { headers: { "replay-of": "?" } });
    await rig.start();
    await rig.settled();
    const ledger = createMemoryLedger(rig.store);
    ledger.forgetLetter("iot-data/0/1/-1");
    ledger.forgetLetter("iot-data/0/2/-1");
    const { named, tally } = await verify(rig, ledger);
    assert.equal(named, ["iot-data@2/-1 letter_missing"]);
    assert.is(tally.records.dead_lettered, 2);
  }));

test("a range is cut into what is checked, in flight, lost and gone", () => {
  const standing = (
    nextOffset: number,
    gaps: { from: number; to: number }[] = [],
    clusterId = "log-1",
  ): LedgerStanding => ({
    offsets: [{ topic: "iot-data", partition: 3, nextOffset, clusterId }],
    gaps: gaps.map((gap) => ({ topic: "iot-data", partition: 3, ...gap })),
    tenants: new Set(),
    adapters: new Map(),
    rowsFromMs: 0,
    lettersFromMs: 0,
  });
  const plan = (given: LedgerStanding, from = 0, to = Infinity) => {
    const asked = { topic: "iot-data", partition: 3, from, to };
    const made = planRange(asked, { low: 100, high: 200 }, given, "log-1");
    return [made.from, made.to, made.inFlight, made.lost, made.gone];
  };
  assert.equal(plan(standing(150)), [100, 150, 50, 0, 100]);
  assert.equal(plan(standing(200)), [100, 200, 0, 0, 100]);
  assert.equal(plan(standing(-1)), [100, 100, 100, 0, 100]);
  assert.equal(plan(standing(150), 120, 130), [120, 130, 0, 0, 0]);
  assert.equal(plan(standing(150), 140, 170), [140, 150, 20, 0, 0]);
  assert.equal(plan(standing(150), 160, 900), [160, 160, 40, 0, 0]);
  assert.equal(plan(standing(150), 900, 950), [900, 900, 0, 0, 0]);
  assert.equal(
    plan(standing(150, [{ from: 40, to: 60 }])),
    [100, 150, 50, 20, 80],
  );
  assert.equal(plan(standing(70)), [100, 100, 100, 30, 70], "not noted yet");
  assert.equal(
    plan(standing(70, [{ from: 70, to: 100 }])),
    [100, 100, 100, 30, 70],
  );
  assert.throws(() => plan(standing(150, [], "log-2")), /another|belongs to/);
  assert.throws(() => plan(standing(201)), /beyond/);
});

test.run();
