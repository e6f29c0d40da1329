import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { upTo, withRig } from "../support/pipeline-rig.js";

const test = suite("what a lane holds: messages, bytes, actors");

test("what a lane holds is bounded by its share, one batch more, while the database is away", () =>
  withRig(
    async (rig) => {
      const release = rig.store.hold();
      await rig.produceMany(0, 200);
      const running = await rig.start({ settings: { queueMessages: 40 } });
      await rig.wait("the lane to be full", () =>
        running.of("queue").some(({ messages }) => messages >= 40),
      );
      await rig.produceMany(200, 210);
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

test("an actor that was idle is not let go while its next message is on the way", () =>
  withRig(async (rig) => {
    let mayWake = Promise.resolve();
    const waking: string[] = [];
    const wake = rig.store.wake;
    rig.store.wake = async (devices) => {
      waking.push(...devices.map(({ address }) => address));
      await mayWake;
      return wake(devices);
    };
    const running = await rig.start({
      settings: { batchSize: 1, actorIdleMs: 10_000, offlineAfterMs: 1e9 },
    });
    await rig.produce("dev-old", { n: 0 });
    await rig.settled();

    // A flush that ends, and lets idle actors go, while the next slice waits for the database to wake its other device.
    const release = rig.store.hold();
    await rig.produce("dev-other", { n: 0 });
    await rig.wait("a flush", () => rig.published("dev-other").length === 1);
    let goOn = () => {};
    mayWake = new Promise((resolve) => {
      goOn = resolve;
    });
    await Promise.all([
      rig.produce("dev-old", { n: 1 }),
      rig.produce("dev-new", { n: 1 }),
    ]);
    await rig.wait("the wake", () => waking.includes("dev-new"));
    rig.pass(20_000);
    const flushes = rig.store.flushes.length;
    release();
    await rig.wait("the flush to end", () => rig.committed(TOPIC.data) === 2);
    assert.ok(rig.store.flushes.length > flushes);
    goOn();
    await rig.settled();
    assert.equal(
      running.of("lane_restarted").map(({ error }) => error),
      [],
    );
    assert.equal(rig.values("dev-old"), upTo(2));
  }));

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

test.run();
