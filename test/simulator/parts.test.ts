/** The smaller parts: chance, latencies, the ledger, answers to commands, replays, options. */
import { readFile } from "node:fs/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { countLatencies } from "../../src/simulator/latency.js";
import {
  type Attempt,
  ledgerLine,
  openLedger,
} from "../../src/simulator/ledger.js";
import {
  conflictIn,
  read,
  type SimulateOptions,
} from "../../src/simulator/options.js";
import { seededRandom } from "../../src/simulator/random.js";
import {
  deviceOfFile,
  parseSeries,
  replayPlan,
} from "../../src/simulator/replay.js";
import { createResponder } from "../../src/simulator/responder.js";
import { fleetOf, planned } from "./fleets.js";

const chance = suite("seeded chance");

chance("is even, and independent of its neighbours", () => {
  for (const path of [1, 2, 3]) {
    const random = seededRandom(5, "device", path);
    const counts = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i += 1) counts[Math.floor(random() * 10)]! += 1;
    for (const count of counts) assert.ok(count > 850 && count < 1150);
  }
  const firsts = new Set(
    Array.from({ length: 1000 }, (_, i) => seededRandom(5, i)()),
  );
  assert.is(firsts.size, 1000);
});

chance.run();

const latencies = suite("latencies");

latencies("give percentiles within 2 %", () => {
  const counted = countLatencies();
  assert.is(counted.percentile(0.5), null);
  for (let ms = 1; ms <= 1000; ms += 1) counted.add(ms);
  assert.ok(Math.abs(counted.percentile(0.5)! - 500) < 10);
  assert.ok(Math.abs(counted.percentile(0.99)! - 990) < 20);
  assert.is(counted.max(), 1000);
});

latencies.run();

const ledgers = suite("the ledger");

ledgers(
  "has a line of JSON with the identity, the hash and both times of an attempt",
  async () => {
    const [poison] = planned(fleetOf({ poison: 1, messages: 1 }));
    const line = ledgerLine(
      poison!,
      { dev: "acme/x", boot: 99 },
      { attempt: 2, sentMs: 1.25 },
      { outcome: "acked", code: 16, tPuback: 3.5 },
    );
    const { sha256, ...rest } = JSON.parse(line) as Attempt;
    assert.match(sha256, /^[0-9a-f]{64}$/);
    assert.equal(rest, {
      dev: "acme/x",
      boot: 99,
      seq: 1,
      devTs: poison!.timeUs,
      class: "poison",
      points: 0,
      reason: poison!.reason,
      attempt: 2,
      outcome: "acked",
      code: 16,
      tSend: 1.25,
      tPuback: 3.5,
    });
    assert.ok(line.endsWith("}\n"));
  },
);

ledgers("keeps every line in order, however many", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ledger-"));
  try {
    const path = join(folder, "run.jsonl");
    const ledger = await openLedger(path);
    for (let i = 0; i < 50_000; i += 1) ledger.write(`{"n":${i}}\n`);
    await ledger.close();
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    assert.is(lines.length, 50_000);
    assert.ok(lines.every((line, i) => line === `{"n":${i}}`));
  } finally {
    await rm(folder, { recursive: true });
  }
});

ledgers(
  "says that it cannot be written, and does not keep what it cannot write",
  async () => {
    const ledger = await openLedger("/dev/full");
    ledger.write("x".repeat(100_000));
    let failure: unknown = null;
    await ledger.close().catch((error: unknown) => (failure = error));
    assert.match(String(failure), /ENOSPC/);
    assert.ok(ledger.failure());
  },
);

ledgers.run();

const commands = suite("a simulated device's answer to a command");
const command = (op: string, id = "01A") =>
  Buffer.from(JSON.stringify({ schema: "v1", cmd_id: id, op, params: {} }));

commands("is ok, but for the operation fail", () => {
  const responder = createResponder(1);
  const { ack, delayMs } = responder.answer("d", command("start"), 1000)!;
  assert.equal(JSON.parse(ack.toString()), {
    schema: "v1",
    cmd_id: "01A",
    ok: true,
    ts_exec: new Date(1000 + delayMs).toISOString(),
    err: null,
  });
  const failed = responder.answer("d", command("fail", "01B"), 0)!;
  assert.is(JSON.parse(failed.ack.toString()).ok, false);
});

commands(
  "is the same ack again when the command comes again, without executing it",
  () => {
    const responder = createResponder(1);
    const first = responder.answer("d", command("start"), 1000)!;
    const second = responder.answer("d", command("start"), 9000)!;
    assert.is(first.repeated, false);
    assert.is(second.repeated, true);
    assert.equal(second.ack, first.ack);
    assert.is(responder.answer("other", command("start"), 0)!.repeated, false);
  },
);

commands("takes a time that hangs on the seed", () => {
  const delay = (seed: number, id: string) =>
    createResponder(seed).answer("d", command("x", id), 0)!.delayMs;
  assert.is(delay(1, "a"), delay(1, "a"));
  const delays = new Set(
    Array.from({ length: 50 }, (_, i) => delay(1, `${i}`)),
  );
  assert.ok(delays.size > 10);
});

commands("is none to what has no id", () => {
  const responder = createResponder(1);
  for (const bytes of ["", "{", "[]", "null", "3", "{}", '{"cmd_id":7}'])
    assert.is(responder.answer("d", Buffer.from(bytes), 0), null);
});

commands.run();

const replays = suite("a replayed series");

replays(
  "is a message a row in the file's order, with the file's own digits",
  () => {
    const rows = parseSeries(
      "timestamp,value\r\n2013-12-02 21:15:00,73.96732207\r\n2013-12-02 21:20:00,74.93588199999998\r\n2013-12-02 21:15:00,-1\r\n",
    );
    const plan = replayPlan(rows, { point: "temp", unit: "°F", speed: 0 });
    const sent = [];
    while (plan.dueUs() !== Infinity) sent.push(plan.next());
    assert.equal(
      sent.map(({ payload }) => payload.toString()),
      [
        ["21:15:00", "73.96732207"],
        ["21:20:00", "74.93588199999998"],
        ["21:15:00", "-1"],
      ].map(
        ([time, value]) =>
          `{"schema":"v1","ts":"2013-12-02T${time}.000Z","points":[{"name":"temp","t":"float","v":${value},"u":"°F"}]}`,
      ),
    );
    assert.equal(
      sent.map(({ seq, timeUs }) => [seq, timeUs]),
      [
        [1, Date.UTC(2013, 11, 2, 21, 15) * 1000],
        [2, Date.UTC(2013, 11, 2, 21, 20) * 1000],
        [3, Date.UTC(2013, 11, 2, 21, 15) * 1000],
      ],
    );
  },
);

replays("is as fast as it happened times the speed", () => {
  const rows = parseSeries(
    "value,timestamp\n1,2020-01-01T00:00:00Z\n2,2020-01-01T01:00:00Z",
  );
  const plan = replayPlan(rows, { point: "value", unit: null, speed: 3600 });
  plan.next();
  assert.is(plan.dueUs(), 1e6);
});

replays("writes numbers that JSON does not know as ones that it does", () => {
  const rows = parseSeries("timestamp,value\n2020-01-01,+.5\n2020-01-02,7.");
  assert.equal(
    rows.map(({ value }) => value),
    ["0.5", "7"],
  );
});

replays("names the line that cannot be read", () => {
  for (const [text, message] of [
    ["time,value\n", /line 1: the columns must be/],
    ["timestamp,value\n", /line 2: there are no rows/],
    [
      "timestamp,value\n2020-01-01,1\nyesterday,1",
      /line 3: "yesterday" is not a time/,
    ],
    ["timestamp,value\n2020-01-01,", /line 2: "" is not a number/],
    ["timestamp,value\n2020-01-01,1e999", /line 2: "1e999" is not a number/],
  ] as const)
    assert.throws(() => parseSeries(text), message);
});

replays("names its device by the file", () => {
  assert.is(
    deviceOfFile("/data/machine temperature (1).csv"),
    "machine-temperature-1-",
  );
  assert.is(deviceOfFile("x".repeat(300)).length, 128);
});

replays.run();

const options = suite("the options");

options("are read from words, or refused in words", () => {
  assert.is(read.duration("90"), 90);
  assert.is(read.duration("1.5m"), 90);
  assert.is(read.duration("2h"), 7200);
  assert.equal(read.mix("plain=1, hello=2"), {
    normalised: 0,
    plain: 1,
    parsec: 0,
    hello: 2,
  });
  assert.is(read.share("0.25"), 0.25);
  for (const refused of [
    () => read.duration("soon"),
    () => read.duration("0s"),
    () => read.mix("plain=0"),
    () => read.mix("json=1"),
    () => read.mix("plain"),
    () => read.share("1.1"),
    () => read.share("-1"),
    () => read.share(""),
    () => read.number("many"),
    () => read.whole(1, 5)("6"),
    () => read.whole(1, 5)("1.5"),
    () => read.segment("a b"),
    () => read.time("later"),
  ])
    assert.throws(refused, (error: Error) => error instanceof RangeError);
});

options("that do not go together are told in a line", () => {
  const fine: SimulateOptions = {
    devices: 10,
    mix: read.mix("plain=1"),
    outOfOrder: 0,
    duplicates: 0,
    poison: 0,
    points: 4,
    qos: 1,
    seed: 1,
    prefix: "sim-",
    answerCommands: true,
    drain: 10,
    speed: 0,
    point: "value",
  };
  assert.is(conflictIn(fine), null);
  assert.match(conflictIn({ ...fine, connections: 11 })!, /--connections/);
  assert.match(
    conflictIn({ ...fine, poison: 0.6, duplicates: 0.6 })!,
    /--poison/,
  );
  assert.match(conflictIn({ ...fine, tenant: "a" })!, /--site/);
  assert.match(conflictIn({ ...fine, points: 1 })!, /--points/);
  assert.match(conflictIn({ ...fine, prefix: "p".repeat(111) })!, /--prefix/);
});

options.run();
