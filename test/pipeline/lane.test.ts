import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC, appliedKey } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import { throwingOn } from "../support/messages.js";
import { upTo, withRig } from "../support/pipeline-rig.js";

const test = suite("a lane, from the log to the stores");

const DATA = `${TOPIC.data}/0`;

test("it begins at the earliest record when nothing is stored", () =>
  withRig(async (rig) => {
    await rig.produceMany(0, 20);
    const running = await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(20));
    const [claimed] = running.of("claimed");
    assert.equal(claimed?.offsets, [0, 0]);
  }));

test("it begins at the stored offset, and stores nothing twice", () =>
  withRig(async (rig) => {
    await rig.produceMany(0, 10);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    await rig.produceMany(10, 15);
    const second = await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(15));
    assert.is(
      rig.store.flushes.every(({ changes }) =>
        changes.every(({ rows }) => rows.length > 0),
      ),
      true,
    );
    assert.is(second.of("rebuild_started").length, 0);
    assert.is(rig.published("dev-1").length, 15);
  }));

test("a clean stop flushes what has gathered, and tells the group", () =>
  withRig(async (rig) => {
    const running = await rig.start({
      settings: { batchSize: 10_000, batchMs: 60_000 },
    });
    await rig.produceMany(0, 7);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 7,
    );
    assert.is(rig.store.rows().length, 0);
    await running.stop();
    assert.equal(rig.values("dev-1"), upTo(7));
    assert.is(rig.store.fences.get(DATA)?.nextOffset, 7);
    assert.is(rig.committed(TOPIC.data), 7);
    assert.is(running.of("released").length, 1);
  }));

test("a process that dies before its flush: the next stores it, and publishes nothing again", () =>
  withRig(async (rig) => {
    const first = await rig.start({
      settings: { batchSize: 10_000, batchMs: 60_000 },
    });
    await rig.produceMany(0, 7);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 7,
    );
    await first.kill();
    assert.is(rig.store.rows().length, 0);
    await rig.produceMany(7, 9);
    await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(9));
    assert.is(rig.published("dev-1").length, 9);
  }));

test("a process that dies in the middle of its COMMIT leaves nothing missing and nothing double", () =>
  withRig(async (rig) => {
    const first = await rig.start();
    rig.store.failNext({ verb: "flush", when: "after", calls: 1 });
    await rig.produceMany(0, 30);
    await rig.wait("a first commit", () => rig.store.flushes.length > 0);
    await first.kill();
    await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(30));
  }));

test("of two records that cannot be read the neighbours are stored, and both are kept with their reasons", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.produceMany(0, 1);
    await rig.produce("dev-1", "not JSON");
    await rig.log.writer.append(TOPIC.data, [
      { key: "dev-1", value: Buffer.from("[") },
    ]);
    await rig.produceMany(1, 2);
    await rig.settled();
    assert.equal(rig.values("dev-1"), [0, 1]);
    assert.equal(
      [...rig.store.letters.values()].map(({ reason, source }) => [
        reason,
        source.offset,
      ]),
      [
        ["parse_error", 1],
        ["parse_error", 2],
      ],
    );
    const dead = rig.records(TOPIC.dataDeadLetters);
    assert.equal(
      dead.map(({ headers }) => headers["source-offset"]),
      ["1", "2"],
    );
    assert.equal(dead[0]!.value, rig.records(TOPIC.data)[1]!.value);
  }));

test("a message that crashes its actor becomes a dead letter, and its device's next are stored", () =>
  withRig(async (rig) => {
    await rig.start({ reducer: (own) => throwingOn("poison", own) });
    await rig.produceMany(0, 2);
    await rig.produce("dev-1", { n: 99, note: "poison" });
    await rig.produceMany(2, 4);
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(4));
    const [letter] = [...rig.store.letters.values()];
    assert.is(letter?.reason, "actor_crash");
  }));

test("a partition whose supervisor fails starts again from its stored offset", () =>
  withRig(async (rig) => {
    let failures = 1;
    const running = await rig.start({
      reducer: (own) => throwingOn("poison", own),
      // A fault of the actor's shell itself, not of a message.
      hear: ({ type }) => {
        if (type === "actor_restarted" && failures-- > 0)
          throw new Error("no room for a log line");
      },
    });
    await rig.produceMany(0, 3);
    await rig.settled();
    await rig.produce("dev-1", { n: 99, note: "poison" });
    await rig.produceMany(3, 12);
    await rig.settled();
    assert.equal(
      running.of("lane_restarted").map(({ error }) => error),
      ["no room for a log line"],
    );
    // From 3 on, and the record before it, by which the log is known again.
    assert.equal(running.of("claimed").at(-1)?.offsets, [0, 2]);
    assert.equal(rig.values("dev-1"), upTo(12));
    assert.is(rig.store.letters.size, 1);
  }));

test("nothing is committed to the group before it is stored", () =>
  withRig(async (rig) => {
    const release = rig.store.hold();
    await rig.produceMany(0, 10);
    await rig.start();
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 10,
    );
    assert.ok((rig.committed(TOPIC.data) ?? 0) === 0);
    release();
    await rig.settled();
    await rig.wait("the group to know", () => rig.committed(TOPIC.data) === 10);
    assert.is(rig.view.marks.get(appliedKey(TOPIC.data, 0)), 10);
  }));

test("a claim whose session cannot begin leaves nothing behind that works on", () =>
  withRig(async (rig) => {
    await rig.produceMany(0, 30);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    rig.view.loseEverything();
    rig.store.failNext({
      verb: "onlineDevices",
      calls: 3,
      error: new TwinstreamError("STORE_REFUSED", "a fault that will not pass"),
    });
    let read = () => {};
    const gate = new Promise<void>((resolve) => {
      read = resolve;
    });
    const { inspector } = rig.log;
    const second = await rig.start({
      ports: {
        log: {
          ...inspector,
          read: async (range, each, signal) => {
            await gate;
            await inspector.read(range, each, signal);
          },
        },
      },
    });
    await rig.wait(
      "the fourth to begin",
      () => second.of("claimed").length === 1,
    );
    assert.is(second.of("lane_restarted").length, 3);
    assert.is(second.of("rebuild_started").length, 4);
    read();
    await rig.settled();
    assert.is(rig.view.history("dev-1").size, 30);
    assert.is(
      second.of("rebuild_finished").length,
      1,
      "the rebuild of the session that lives",
    );
  }));

test.run();
