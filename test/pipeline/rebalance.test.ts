import { setTimeout as pause } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import type { LaneFeedHandler } from "../../src/ports.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import { GROUP, type Rig, upTo, withRig } from "../support/pipeline-rig.js";

const test = suite("lanes in a rebalance");

const DATA = `${TOPIC.data}/0`;
/** Deals the partitions anew: a member that joins and leaves. With one partition it stays where it was. */
async function rebalance(rig: Rig, times = 1): Promise<void> {
  const nobody: LaneFeedHandler = {
    assigned: () => undefined,
    batch: async () => false,
  };
  for (let i = 0; i < times; i++) {
    const other = rig.log.feed(GROUP, LANE_TOPICS);
    await other.start(nobody);
    await other.stop();
  }
}

test("a partition that comes back as it was left keeps its actors, what has gathered and its position", () =>
  withRig(async (rig) => {
    let applied = 0;
    const running = await rig.start({
      settings: { batchSize: 10_000, batchMs: 60_000 },
      reducer: (own) => (state, messages, nowMs) => {
        applied += messages.length;
        return own(state, messages, nowMs);
      },
    });
    await rig.produceMany(0, 10);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 10,
    );
    const wakes = rig.store.wake;
    let woken = 0;
    rig.store.wake = (devices) => {
      woken++;
      return wakes(devices);
    };
    await rebalance(rig);
    await rig.wait("the claim", () => running.of("claimed").length >= 2);
    assert.is(running.of("claimed").at(-1)!.kept, true);
    await rig.produceMany(10, 15);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 15,
    );
    assert.is(applied, 15, "no record is applied twice");
    assert.is(woken, 0, "the actor stays");
    assert.is(rig.store.rows().length, 0);
    await running.stop();
    assert.equal(rig.values("dev-1"), upTo(15));
    assert.is(
      rig.store.flushes.filter(({ changes }) => changes.length > 0).length,
      1,
      "what had gathered before went with it",
    );
    assert.is(
      rig.store.flushes.at(-1)!.fence[1]!.epoch,
      rig.store.fences.get(DATA)!.epoch,
    );
  }));

test("a flush in flight is waited for before the partition is claimed again", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.produceMany(0, 3);
    await rig.settled();
    const release = rig.store.hold();
    await rig.produceMany(3, 6);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 6,
    );
    await rebalance(rig);
    assert.is(running.of("claimed").length, 1);
    release();
    await rig.wait("the claim", () => running.of("claimed").length >= 2);
    assert.is(running.of("claimed").at(-1)!.kept, true);
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(6));
  }));

test("a partition that another has stored in the meantime is begun anew at its offset", () =>
  withRig(async (rig) => {
    const running = await rig.start({
      settings: { batchSize: 10_000, batchMs: 60_000 },
    });
    await rig.produceMany(0, 10);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 10,
    );
    const other = await rig.start({ group: "nobody-told-of-it" });
    await rig.wait(
      "the other to store it",
      () => rig.store.rows().length === 10,
    );
    await other.stop();
    await rebalance(rig);
    await rig.wait("the claim", () => running.of("claimed").length >= 2);
    assert.is(running.of("claimed")[1]!.kept, false);
    await rig.produceMany(10, 12);
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 12,
    );
    await running.stop();
    assert.equal(rig.values("dev-1"), upTo(12));
    assert.is(
      rig.published("dev-1").length,
      12,
      "and nothing is published again",
    );
  }));

test("rebalances under load lose nothing and double nothing", () =>
  withRig(
    async (rig) => {
      await rig.start();
      let done = false;
      const load = (async () => {
        for (let n = 0; n < 300; n++) {
          await rig.produce(`dev-${n % 7}`, { n });
          if (n % 5 === 0) await new Promise((r) => setImmediate(r));
        }
        done = true;
      })();
      while (!done) {
        await rebalance(rig);
        await pause(3); // A pace, not a wait.
      }
      await load;
      await rig.settled();
      for (let d = 0; d < 7; d++)
        assert.equal(
          rig.values(`dev-${d}`),
          upTo(300).filter((n) => n % 7 === d),
          "in the order of the log",
        );
    },
    { partitions: 3, batchRecords: 7 },
  ));

test("two processors share the partitions, and hand over under load without a loss or a double", () =>
  withRig(
    async (rig) => {
      const first = await rig.start();
      for (let n = 0; n < 100; n++) await rig.produce(`dev-${n % 7}`, { n });
      const second = await rig.start();
      for (let n = 100; n < 200; n++) await rig.produce(`dev-${n % 7}`, { n });
      await rig.wait(
        "both to have claimed",
        () => second.of("claimed").length > 0,
      );
      await first.stop();
      for (let n = 200; n < 300; n++) await rig.produce(`dev-${n % 7}`, { n });
      await rig.settled();
      for (let d = 0; d < 7; d++)
        assert.equal(
          rig.values(`dev-${d}`),
          upTo(300).filter((n) => n % 7 === d),
        );
      assert.equal(second.processor.troubles(), []);
    },
    { partitions: 4, batchRecords: 9 },
  ));

test("the flush of a processor that lost its partition changes nothing, and its lane lets go", () =>
  withRig(async (rig) => {
    // The first one's flushes stop on their way to the database, as a process does that is not given the CPU.
    let arrive = () => {};
    const stalled = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    let flushing = false;
    const zombie = await rig.start({
      ports: {
        store: {
          ...rig.store,
          flush: async (flush, produce) => {
            flushing = true;
            await stalled;
            return rig.store.flush(flush, produce);
          },
        },
      },
    });
    await rig.produceMany(0, 5);
    await rig.wait("a flush on its way", () => flushing);
    const owner = await rig.start({ group: "another-group" });
    await rig.settled();
    const { epoch } = rig.store.fences.get(DATA)!;
    const flushes = rig.store.flushes.length;
    const stopping = zombie.stop();
    arrive();
    await stopping;
    assert.is(rig.store.flushes.length, flushes);
    assert.is(
      rig.store.fences.get(DATA)!.epoch,
      epoch,
      "it does not claim again",
    );
    assert.equal(rig.values("dev-1"), upTo(5));
    await rig.produceMany(5, 8);
    await rig.settled();
    assert.equal(owner.processor.troubles(), []);
    assert.equal(rig.values("dev-1"), upTo(8));
  }));

test("a processor that lost its claim but not its assignment claims again, and nothing is stored twice", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.produceMany(0, 5);
    await rig.settled();
    await rig.store.claim(LANE_TOPICS, 0, "someone else");
    await rig.produceMany(5, 9);
    await rig.settled();
    assert.is(running.of("lane_restarted").length, 1);
    assert.match(running.of("lane_restarted")[0]!.error, "another processor");
    assert.equal(rig.values("dev-1"), upTo(9));
    assert.equal(running.processor.troubles(), []);
  }));

test("offsets that an operator moved back are taken up, and what is stored again is one row still", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.produceMany(0, 8);
    await rig.settled();
    const fence = rig.store.fences.get(DATA)!;
    fence.epoch++;
    fence.nextOffset = 2;
    fence.lastRecordMs = null;
    await rig.produceMany(8, 9);
    await rig.settled();
    assert.ok(running.of("lane_restarted").length >= 1);
    assert.equal(rig.values("dev-1"), upTo(9));
  }));

test("the group is told nothing under a generation that has passed", () =>
  withRig(async (rig) => {
    const told: { generation: number; current: number }[] = [];
    let current = 0;
    const feed = rig.log.feed(GROUP, LANE_TOPICS);
    const running = await rig.start({
      ports: {
        feed: {
          ...feed,
          start: (handler) =>
            feed.start({
              ...handler,
              assigned(generation, partitions) {
                current = generation;
                handler.assigned(generation, partitions);
              },
            }),
          commit: (generation, offsets) => {
            told.push({ generation, current });
            return feed.commit(generation, offsets);
          },
        },
      },
    });
    for (let round = 0; round < 5; round++) {
      await rig.produceMany(round * 4, round * 4 + 4);
      await rebalance(rig);
      await rig.settled();
    }
    await rig.wait(
      "the group to know all",
      () => rig.committed(TOPIC.data) === 20,
    );
    assert.ok(told.length > 0);
    for (const { generation, current: then } of told)
      assert.is(generation, then);
    assert.ok(running.of("claimed").length >= 5);
  }));

test("a partition that is given to a processor on its way out is not claimed", () =>
  withRig(
    async (rig) => {
      const first = await rig.start();
      const second = await rig.start();
      await rig.wait(
        "both to have claimed",
        () => second.of("claimed").length === 1,
      );
      await rig.produce("dev-1", { n: 1 });
      await rig.settled();
      const before = second.of("claimed").length;
      // The second drains while the first leaves: its partition is dealt to the second.
      const release = rig.store.hold();
      await rig.produce("dev-1", { n: 2 });
      await rig.produce("dev-2", { n: 2 });
      await rig.wait(
        "Redis to have it",
        () => rig.published("dev-2").length === 1,
      );
      const stopping = second.stop();
      await first.kill();
      release();
      await stopping;
      assert.is(second.of("claimed").length, before);
      await rig.start();
      await rig.settled();
    },
    { partitions: 2 },
  ));

test.run();
