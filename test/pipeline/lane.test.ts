import { suite } from "uvu";
import * as assert from "uvu/assert";
import { appliedKey, TOPIC } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import { type Rig, withRig } from "../support/pipeline-rig.js";
import { throwingOn } from "../support/messages.js";

const test = suite("a lane, from the log to the stores");

const DATA = `${TOPIC.data}/0`;

async function produceMany(rig: Rig, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++)
    await rig.produce("dev-1", { n, ts: rig.clock() / 1000 + n / 1000 });
}
const upTo = (to: number, from = 0): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

test("it begins at the earliest record when nothing is stored", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 20);
    const running = await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(20));
    const [claimed] = running.of("claimed");
    assert.equal(claimed?.offsets, [0, 0]);
  }));

test("it begins at the stored offset, and stores nothing twice", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 10);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    await produceMany(rig, 10, 15);
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
    await produceMany(rig, 0, 7);
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
    await produceMany(rig, 0, 7);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 7,
    );
    await first.kill();
    assert.is(rig.store.rows().length, 0);
    await produceMany(rig, 7, 9);
    await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(9));
    assert.is(rig.published("dev-1").length, 9);
  }));

test("a process that dies in the middle of its COMMIT leaves nothing missing and nothing double", () =>
  withRig(async (rig) => {
    const first = await rig.start();
    rig.store.failNext({ verb: "flush", when: "after", calls: 1 });
    await produceMany(rig, 0, 30);
    await rig.wait("a first commit", () => rig.store.flushes.length > 0);
    await first.kill();
    await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(30));
  }));

test("of two records that cannot be read the neighbours are stored, and both are kept with their reasons", () =>
  withRig(async (rig) => {
    await rig.start();
    await produceMany(rig, 0, 1);
    await rig.produce("dev-1", "not JSON");
    await rig.log.writer.append(TOPIC.data, [
      { key: "dev-1", value: Buffer.from("[") },
    ]);
    await produceMany(rig, 1, 2);
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
    await produceMany(rig, 0, 2);
    await rig.produce("dev-1", { n: 99, note: "poison" });
    await produceMany(rig, 2, 4);
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
    await produceMany(rig, 0, 3);
    await rig.settled();
    await rig.produce("dev-1", { n: 99, note: "poison" });
    await produceMany(rig, 3, 12);
    await rig.settled();
    assert.equal(
      running.of("lane_restarted").map(({ error }) => error),
      ["no room for a log line"],
    );
    assert.equal(running.of("claimed").at(-1)?.offsets, [0, 3]);
    assert.equal(rig.values("dev-1"), upTo(12));
    assert.is(rig.store.letters.size, 1);
  }));

test("stored offsets of another cluster are refused with what to do, and it goes on by itself once they are mended", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 4);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    const fence = rig.store.fences.get(DATA)!;
    fence.clusterId = "another-log";
    await produceMany(rig, 4, 6);
    const second = await rig.start();
    await rig.wait("a refusal", () => second.of("lane_refused").length > 0);
    assert.match(
      second.processor.troubles().join(),
      /partition 0 .*another-log.*twinstream offsets adopt\|rewind/,
    );
    // It looks again and again, and says it once.
    const { epoch } = fence;
    await rig.wait("it to look again", () => fence.epoch > epoch + 2);
    assert.is(second.of("lane_refused").length, 1);
    assert.is(fence.nextOffset, 4);
    fence.clusterId = "log-1";
    await rig.settled();
    assert.equal(second.processor.troubles(), []);
    assert.equal(rig.values("dev-1"), upTo(6));
  }));

test("a refused lane looks again at its own pace, however often the group was dealt anew", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 1);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    const fence = rig.store.fences.get(DATA)!;
    fence.nextOffset = 500;
    let claims = 0;
    const claim = rig.store.claim;
    rig.store.claim = (...args) => {
      claims++;
      return claim(...args);
    };
    await rig.start({ settings: { refusedMs: 60 } });
    await rig.wait("a refusal", () => claims === 1);
    // Members that come and go: each time the partition is assigned again.
    for (let i = 0; i < 20; i++) {
      const other = rig.log.feed("twinstream-processor", [TOPIC.data]);
      await other.start({
        assigned: () => undefined,
        batch: async () => false,
      });
      await other.stop();
    }
    await rig.wait("the claims that it causes", () => claims > 1);
    claims = 0;
    const began = Date.now();
    await rig.wait("three more looks", () => claims >= 3);
    assert.ok(Date.now() - began >= 100, "one look every 60 ms");
  }));

test("a stored offset beyond the log is refused, and nothing is committed", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 2);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    rig.store.fences.get(DATA)!.nextOffset = 50;
    const second = await rig.start();
    await rig.wait("a refusal", () => second.of("lane_refused").length > 0);
    assert.match(second.processor.troubles().join(), "beyond the log's end 2");
    assert.is(second.of("lane_refused")[0]!.error.code, "POSITION_BEYOND_LOG");
    assert.is(rig.store.fences.get(DATA)!.nextOffset, 50);
  }));

test("another record at the stored offset is refused before anything is taken", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 3);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    const fence = rig.store.fences.get(DATA)!;
    const known = fence.lastRecordMs!;
    fence.lastRecordMs = known - 1000;
    await produceMany(rig, 3, 5);
    const second = await rig.start();
    await rig.wait("a refusal", () => second.of("lane_refused").length > 0);
    assert.is(second.of("lane_refused")[0]!.error.code, "OTHER_RECORD");
    assert.equal(rig.values("dev-1"), upTo(3));
    fence.lastRecordMs = known;
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(5));
    assert.equal(second.processor.troubles(), []);
  }));

test("what was lost to retention is written down and told, and the lane goes on behind the gap", () =>
  withRig(async (rig) => {
    await produceMany(rig, 0, 4);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    await produceMany(rig, 4, 12);
    rig.log.truncate(TOPIC.data, 0, 9);
    const second = await rig.start();
    await rig.settled();
    assert.equal(rig.store.gaps, [
      { topic: TOPIC.data, partition: 0, from: 4, to: 9 },
    ]);
    const [lost] = second.of("lost_to_retention");
    assert.is(lost?.from, 4);
    assert.is(lost?.to, 9);
    assert.equal(rig.values("dev-1"), [...upTo(4), ...upTo(12, 9)]);
  }));

test("a device whose last state Redis has lost gets it back from its newest rows when it wakes", () =>
  withRig(async (rig) => {
    await rig.produce("dev-1", { n: 5 });
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    // The reading is older than the history that a rebuild would read.
    rig.pass(6 * 3_600_000);
    rig.view.loseEverything();
    await rig.start();
    await rig.produce("dev-1", "", { kind: "hello" });
    await rig.settled();
    const last = rig.view.last.get("dev-1");
    assert.match(last?.payload ?? "", '"n"');
    assert.equal(rig.view.history("dev-1").size, 0);
  }));

test("what a lane holds is bounded by its share, one batch more, while the database is away", () =>
  withRig(
    async (rig) => {
      const release = rig.store.hold();
      await produceMany(rig, 0, 200);
      const running = await rig.start({ settings: { queueMessages: 40 } });
      await rig.wait("the lane to be full", () =>
        running.of("queue").some(({ messages }) => messages >= 40),
      );
      await produceMany(rig, 200, 210);
      release();
      await rig.settled();
      const most = Math.max(...running.of("queue").map((q) => q.messages));
      assert.ok(most >= 40 && most <= 60, `${most} messages`);
      assert.equal(rig.values("dev-1"), upTo(210));
    },
    { batchRecords: 20 },
  ));

test("bytes bound it as messages do", () =>
  withRig(
    async (rig) => {
      const release = rig.store.hold();
      const text = "x".repeat(1000);
      for (let n = 0; n < 60; n++) await rig.produce("dev-1", { n, text });
      const running = await rig.start({ settings: { queueBytes: 10_000 } });
      await rig.wait("the lane to be full", () =>
        running.of("queue").some(({ bytes }) => bytes >= 10_000),
      );
      release();
      await rig.settled();
      const most = Math.max(...running.of("queue").map((q) => q.bytes));
      assert.ok(most <= 10_000 + 5 * 1200, `${most} bytes`);
      assert.is(rig.values("dev-1").filter((v) => v !== null).length, 60);
    },
    { batchRecords: 5 },
  ));

test("an actor with effects that no flush has stored is never let go", () =>
  withRig(
    async (rig) => {
      const woken: string[] = [];
      const wake = rig.store.wake;
      rig.store.wake = (devices) => {
        for (const { address } of devices) woken.push(address);
        return wake(devices);
      };
      // Every actor is idle and one too many at once, so that only its effects keep it.
      await rig.start({
        settings: { liveActors: 1, actorIdleMs: -1000, batchSize: 1 },
      });
      const headers = (packet: number, dup: boolean) => ({
        "bridge-id": "b",
        "mqtt-packet-id": `${packet}`,
        ...(dup ? { "mqtt-dup": "1" } : {}),
      });
      for (let round = 0; round < 30; round++)
        for (const device of ["dev-a", "dev-b", "dev-c"]) {
          await rig.produce(
            device,
            { n: round },
            { headers: headers(round, false) },
          );
          await rig.produce(
            device,
            { n: round },
            { headers: headers(round, true) },
          );
          if (round % 3 === 0) await new Promise((r) => setImmediate(r));
        }
      await rig.settled();
      assert.ok(woken.length > 3, "actors were let go and woke again");
      for (const device of ["dev-a", "dev-b", "dev-c"])
        assert.equal(
          rig.values(device),
          upTo(30),
          "each redelivered message was known again",
        );
    },
    { batchRecords: 3 },
  ));

test("an actor that is idle is not let go while its next message is on the way", () =>
  withRig(
    async (rig) => {
      const running = await rig.start({
        settings: { actorIdleMs: 1, batchSize: 1, batchMs: 1 },
      });
      for (let n = 0; n < 60; n++) {
        // An idle one and one that is not awake yet, in one batch, while flushes of others end.
        await rig.produce("dev-old", { n });
        await rig.produce(`dev-new-${n}`, { n });
        await rig.produce("dev-other", { n });
        await new Promise((resolve) => setTimeout(resolve, n % 3));
      }
      await rig.settled();
      assert.equal(
        running.of("lane_restarted").map(({ error }) => error),
        [],
      );
      assert.equal(rig.values("dev-old"), upTo(60));
    },
    { batchRecords: 2 },
  ));

test("no more actors stay alive than the setting allows, once their effects are stored", () =>
  withRig(async (rig) => {
    const running = await rig.start({ settings: { liveActors: 5 } });
    for (let n = 0; n < 40; n++) await rig.produce(`dev-${n}`, { n });
    await rig.settled();
    await rig.wait(
      "the excess to be let go",
      () => running.of("actors").at(-1)?.alive === 5,
    );
    assert.is(rig.store.rows().length, 40);
  }));

test("actors of a lane that has fallen silent are let go, too", () =>
  withRig(async (rig) => {
    const running = await rig.start({ settings: { actorIdleMs: 50 } });
    for (let n = 0; n < 10; n++) await rig.produce(`dev-${n}`, { n });
    await rig.settled();
    await rig.wait("them to be let go", () => {
      const [last] = running.of("actors").slice(-1);
      return rig.store.rows().length === 10 && last?.alive === 0;
    });
  }));

test("a device that falls silent goes offline in both stores, and comes back with its next message", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    assert.is(rig.store.devices.get("dev-1")?.online, true);
    rig.pass(61_000);
    await rig.wait(
      "it to go",
      () => rig.store.devices.get("dev-1")?.online === false,
    );
    assert.is(rig.store.devices.get("dev-1")?.cause, "silent");
    await rig.wait(
      "Redis to be told",
      async () => (await rig.view.reader.seen("default", ["dev-1"])) === null,
    );
    await rig.produce("dev-1", { n: 2 });
    await rig.settled();
    assert.is(rig.store.devices.get("dev-1")?.online, true);
    assert.is(running.of("lane_restarted").length, 0);
  }));

test("Redis that is away while a device falls silent hears of it once it is back", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    rig.view.failNext(3);
    rig.pass(61_000);
    await rig.wait("Redis to be told", () =>
      rig.view.published.some(
        ({ channel, text }) =>
          channel === "device-presence" && text.includes("silent"),
      ),
    );
  }));

test("a lane with a backlog calls no device silent before it has read it", () =>
  withRig(async (rig) => {
    const first = await rig.start();
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    await first.kill();
    rig.pass(100_000);
    await rig.produce("dev-1", { n: 2 });
    // The feed's first fetch takes its time.
    const feed = rig.log.feed("twinstream-processor", [
      TOPIC.commands,
      TOPIC.data,
    ]);
    let fetching = false;
    const running = await rig.start({
      ports: {
        feed: {
          ...feed,
          resume: (partition) => {
            if (fetching) feed.resume(partition);
          },
        },
      },
    });
    await rig.wait("a few looks", () => running.of("queue").length > 5);
    assert.is(rig.store.devices.get("dev-1")?.online, true);
    fetching = true;
    feed.resume(0);
    await rig.settled();
    const told = rig.view.published.filter(({ text }) =>
      text.includes("silent"),
    );
    assert.equal(told, []);
  }));

test("an error of one lane's care does not keep the others from theirs", () =>
  withRig(
    async (rig) => {
      const running = await rig.start();
      for (let n = 0; n < 20; n++) await rig.produce(`dev-${n}`, { n });
      await rig.settled();
      const offline = rig.view.view.offline;
      let failed = 0;
      rig.view.view.offline = async (changes) => {
        if (failed++ === 0)
          throw new TwinstreamError(
            "STORE_REFUSED",
            "a fault that will not pass",
          );
        return offline(changes);
      };
      rig.pass(61_000);
      await rig.wait(
        "the other lanes' devices to go",
        () => running.of("failure").length > 0 && failed >= 4,
      );
    },
    { partitions: 4 },
  ));

test("nothing is committed to the group before it is stored", () =>
  withRig(async (rig) => {
    const release = rig.store.hold();
    await produceMany(rig, 0, 10);
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
    await produceMany(rig, 0, 30);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    rig.view.loseEverything();
    rig.store.failNext({
      verb: "onlineDevices",
      calls: 3,
      error: new TwinstreamError("STORE_REFUSED", "a fault that will not pass"),
    });
    const second = await rig.start();
    await rig.settled();
    assert.is(second.of("lane_restarted").length, 3);
    await rig.wait("the view", () => rig.view.history("dev-1").size === 30);
    assert.is(
      second.of("rebuild_finished").length,
      1,
      "one rebuild, of the session that lives",
    );
  }));

test.run();
