/** The comparison with the sender's ledger finds each fault that is planted, and nothing where there is none. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import { TOPIC } from "../../src/domain/names.js";
import { partitionOf } from "../../src/domain/partition.js";
import {
  type Comparison,
  compare,
  type Evidence,
  FAULTLESS,
  instant,
  type Logged,
  place,
  type Shown,
} from "../../src/simulator/compare.js";
import type { Planned } from "../../src/simulator/fleet.js";
import { type Attempt, ledgerLine } from "../../src/simulator/ledger.js";
import { loggedReader } from "../../src/simulator/logged.js";
import { fleetOf, planned, START_US } from "./fleets.js";

const test = suite("the sender's ledger against the stores");

const PARTITIONS = 12;
const read = loggedReader(
  {
    tenants: new Set(["default"]),
    futureUs: 86_400_000_000,
    earliestUs: Date.UTC(2000, 0, 1) * 1000,
    retentionUs: null,
    tenantPrefix: "traksense",
    partitions: PARTITIONS,
  },
  "dev-",
);

interface World {
  attempts: Attempt[];
  logged: Logged[];
  rows: Map<string, string>;
  letters: Map<string, string>;
  shown: Map<string, Shown>;
}

const messages = planned(
  fleetOf({ messages: 400, poison: 0.05, duplicates: 0.1, outOfOrder: 0.1 }),
);

function recordOf(message: Planned, n: number): Logged {
  const deviceId = `dev-${message.device}`;
  const hello = message.class === "hello";
  const logged = read({
    topic: TOPIC.data,
    partition: partitionOf(deviceId, PARTITIONS),
    offset: n,
    key: Buffer.from(deviceId),
    value: encodeEnvelope({
      deviceId,
      tenant: "default",
      site: null,
      kind: hello ? "hello" : "data",
      payload: message.payload,
      arrivalMs: START_US / 1000 + n * 10,
    }),
    headers: {},
    timestampMs: START_US / 1000 + n * 10,
  });
  assert.ok(logged);
  return logged;
}

/** Everything as it should be: all accepted, on the log in the order of sending, stored and shown. */
function faultless(): World {
  const world: World = {
    attempts: [],
    logged: [],
    rows: new Map(),
    letters: new Map(),
    shown: new Map(),
  };
  for (const [n, message] of messages.entries()) {
    const line = ledgerLine(
      message,
      { dev: `dev-${message.device}`, boot: 1 },
      { attempt: 1, sentMs: START_US / 1000 + n },
      { outcome: "acked", code: 0, tPuback: START_US / 1000 + n + 1 },
    );
    world.attempts.push(JSON.parse(line) as Attempt);
    const logged = recordOf(message, n);
    world.logged.push(logged);
    const { dev, reading } = logged;
    if (message.reason !== null)
      world.letters.set(place(logged), message.reason);
    if (reading === null) continue;
    const at = instant(dev, reading.timeUs);
    const { sha256 } = logged;
    const before = world.shown.get(dev);
    const isNewest = reading.timeUs >= (before?.timeUs ?? 0);
    world.shown.set(dev, {
      timeUs: isNewest ? reading.timeUs : before!.timeUs,
      sha256: isNewest ? sha256 : before!.sha256,
      history: new Set([...(before?.history ?? []), sha256]),
    });
    world.rows.set(at, reading.values);
  }
  return world;
}

const found = (world: Evidence & { attempts: Attempt[] }): Comparison =>
  compare(world.attempts, world);

/** The faults that were found, by kind, and no others. */
function kindsIn(result: Comparison): string[] {
  return [...FAULTLESS, "brokerLoss" as const].filter(
    (kind) => result[kind].length > 0,
  );
}

const isStored = ({ class: kind }: Attempt) => kind === "ok";
const isPoison = ({ class: kind }: Attempt) => kind === "poison";

/** The place in the run of a message of that kind of which nothing else is repeated. */
function placeOf(world: World, wanted: (attempt: Attempt) => boolean): number {
  const n = world.attempts.findIndex(
    (attempt) =>
      wanted(attempt) &&
      world.attempts.filter(({ sha256 }) => sha256 === attempt.sha256)
        .length === 1,
  );
  assert.ok(n >= 0);
  return n;
}

const without = (shown: Shown, sha256: string): Shown => ({
  ...shown,
  history: new Set([...shown.history].filter((one) => one !== sha256)),
});

const atOf = ({ dev, reading }: Logged) => instant(dev, reading!.timeUs);

test("nothing is found where all is well, and every message is one thing", () => {
  const result = found(faultless());
  assert.equal(kindsIn(result), []);
  const letters = Object.values(result.deadLettered).reduce((a, b) => a + b, 0);
  assert.ok(letters > 5 && result.stored > 200 && result.noted > 5);
  assert.is(result.stored + result.noted + letters, result.sent);
  assert.is(result.sent + result.duplicates, messages.length);
  assert.is(result.accepted, result.sent);
});

test("a row that is not there is missing", () => {
  const world = faultless();
  const n = placeOf(world, isStored);
  world.rows.delete(atOf(world.logged[n]!));
  const result = found(world);
  assert.equal(kindsIn(result), ["missing"]);
  const { dev, seq } = world.attempts[n]!;
  assert.equal(result.missing, [`${dev} ${seq}`]);
});

test("a value that changed is wrong, and a second row of one reading is doubled", () => {
  const world = faultless();
  const at = atOf(world.logged[placeOf(world, isStored)]!);
  const [first = "", ...others] = world.rows.get(at)!.split("\n");
  const [name] = JSON.parse(first) as [string, unknown];
  const changed = JSON.stringify([name, -1]);
  world.rows.set(at, [changed, ...others].toSorted().join("\n"));
  assert.equal(kindsIn(found(world)), ["wrong"]);
  world.rows.set(at, [first, changed, ...others].toSorted().join("\n"));
  assert.equal(kindsIn(found(world)), ["doubled"]);
});

test("a row at an instant that no message has, and a record that nobody sent, are invented", () => {
  const world = faultless();
  world.rows.set(instant("dev-1", 5), '["seq",1]');
  world.logged.push({
    ...world.logged[0]!,
    sha256: "0".repeat(64),
    offset: 10_000,
    reading: null,
  });
  const result = found(world);
  assert.equal(kindsIn(result), ["invented"]);
  assert.is(result.invented.length, 2);
});

test("what the broker took and the log has not is the broker's loss, what it did not take is nobody's", () => {
  const world = faultless();
  const n = placeOf(world, isStored);
  world.rows.delete(atOf(world.logged[n]!));
  world.logged.splice(n, 1);
  const { dev, sha256 } = world.attempts[n]!;
  const before = world.shown.get(dev)!;
  world.shown.set(dev, without(before, sha256));
  assert.equal(kindsIn(found(world)), ["brokerLoss"]);
  world.attempts[n] = { ...world.attempts[n]!, outcome: "unknown" };
  assert.equal(kindsIn(found(world)), []);
});

test("two messages of a device that changed places on the log are out of order, a repeated one is not", () => {
  const world = faultless();
  const { dev } = world.attempts[0]!;
  const [a, b] = world.logged.filter((one) => one.dev === dev);
  world.logged = world.logged.map((one) =>
    one === a
      ? { ...a, offset: b!.offset }
      : one === b
        ? { ...b, offset: a!.offset }
        : one,
  );
  const swapped = found({ ...world, letters: new Map(), shown: new Map() });
  assert.is(swapped.outOfOrder.length, 1);

  const again = faultless();
  const n = placeOf(again, isStored);
  again.logged.push({ ...again.logged[n]!, offset: 10_000 });
  const attempt = again.attempts[n]!;
  again.attempts.push({ ...attempt, attempt: 2, tSend: attempt.tSend + 1e6 });
  const result = found({ ...again, shown: null });
  assert.equal(kindsIn(result), []);
  assert.is(result.sent + result.duplicates, messages.length + 1);
});

test("a repeated message whose first copy the broker lost stands where its second was sent", () => {
  const world = faultless();
  const n = placeOf(world, isStored);
  const lost = world.logged[n]!;
  const { dev } = lost;
  const last = world.logged.findLastIndex((one) => one.dev === dev);
  assert.ok(last > n);
  world.logged.splice(n, 1);
  const offset = 10_000;
  const moved = (arrivalUs: number) =>
    compare(world.attempts, {
      ...world,
      logged: [...world.logged, { ...lost, offset, arrivalUs }],
      shown: null,
    }).outOfOrder;
  const first = world.attempts[n]!;
  const again = { ...first, attempt: 2, tSend: first.tSend + 1e6 };
  assert.equal(moved(again.tSend * 1000), [`${dev} ${first.seq}`]);
  world.attempts.push(again);
  assert.equal(moved(again.tSend * 1000), []);
  // It came before it was sent again: the first copy it was.
  assert.is(moved((again.tSend - 1000) * 1000).length, 1);
});

test("a dead letter that is gone is missing, and one of a good message or for another reason is misjudged", () => {
  const world = faultless();
  const poison = place(world.logged[placeOf(world, isPoison)]!);
  const reason = world.letters.get(poison)!;
  world.letters.delete(poison);
  assert.equal(kindsIn(found(world)), ["missing"]);
  world.letters.set(poison, "actor_crash");
  assert.equal(kindsIn(found(world)), ["misjudged"]);
  world.letters.set(poison, reason);
  const good = world.logged[placeOf(world, isStored)]!;
  world.letters.set(place(good), "actor_crash");
  assert.ok(kindsIn(found(world)).includes("misjudged"));
});

test("a last state that is not the newest or not as it was sent, and a gap or a stranger in the history, are stale", () => {
  const world = faultless();
  const [dev, shown] = [...world.shown][0]!;
  const strange = "0".repeat(64);
  for (const other of [
    { ...shown, timeUs: shown.timeUs! - 1 },
    { ...shown, sha256: strange },
    without(shown, [...shown.history][0]!),
    { ...shown, history: new Set([...shown.history, strange]) },
  ]) {
    world.shown.set(dev, other);
    const result = found(world);
    assert.equal(kindsIn(result), ["stale"]);
    assert.is(result.stale.length, 1);
  }
});

test.run();
