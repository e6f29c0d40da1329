import { suite } from "uvu";
import * as assert from "uvu/assert";
import { partitionOf } from "../../src/domain/partition.js";
import { TOPIC } from "../../src/domain/names.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import { GROUP, type Rig, withRig } from "../support/pipeline-rig.js";

const test = suite("what a lane shows of its devices");

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
    const feed = rig.log.feed(GROUP, LANE_TOPICS);
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

/** A bridge tells that all until now is on the log. */
const beat = (rig: Rig) =>
  rig.log.writer.append(TOPIC.beats, [
    {
      key: "bridge-1",
      partition: 0,
      value: Buffer.from(
        JSON.stringify({ bridge_id: "bridge-1", until: rig.clock() }),
      ),
    },
  ]);
const presenceTold = (rig: Rig) =>
  rig.view.published
    .filter(({ channel }) => channel === "device-presence")
    .map(({ text }) => JSON.parse(text) as { online: boolean; cause: unknown })
    .map(({ online, cause }) => [online, cause]);

test("no device falls silent while a bridge is away; once it is back those that said nothing do", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await beat(rig);
    await rig.produce("dev-1", { n: 1 });
    await rig.produce("dev-2", { n: 1 });
    await rig.settled();
    rig.pass(600_000);
    await rig.wait("the bridge to be missed", () =>
      running.of("bridge_heard").some(({ alive }) => !alive),
    );
    const looks = running.of("bridges").length;
    await rig.wait(
      "many more looks",
      () => running.of("bridges").length > looks + 20,
    );
    assert.is(rig.store.devices.get("dev-1")?.online, true);
    const shown = await rig.view.reader.horizon();
    assert.ok(shown!.untilMs < rig.clock() - 590_000);
    assert.is(shown!.bridgesMs, shown!.untilMs);
    // What had waited for it at the broker comes before its beat.
    await rig.produce("dev-2", { n: 2 });
    await beat(rig);
    await rig.wait(
      "dev-1 to go",
      () => rig.store.devices.get("dev-1")?.online === false,
    );
    assert.is(rig.store.devices.get("dev-1")?.cause, "silent");
    assert.is(rig.store.devices.get("dev-2")?.online, true);
    const went = presenceTold(rig).filter(([online]) => online === false);
    assert.equal(went, [[false, "silent"]]);
  }));

test("no device falls silent while the log does not answer", () =>
  withRig(async (rig) => {
    let away = false;
    const { inspector } = rig.log;
    const running = await rig.start({
      ports: {
        log: {
          ...inspector,
          bounds: (topic) =>
            away
              ? Promise.reject(new Error("no answer"))
              : inspector.bounds(topic),
        },
      },
    });
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    away = true;
    rig.pass(600_000);
    await rig.wait("a few looks", () => running.of("failure").length > 5);
    assert.is(rig.store.devices.get("dev-1")?.online, true);
    away = false;
    await rig.wait(
      "it to go",
      () => rig.store.devices.get("dev-1")?.online === false,
    );
  }));

test("a device's last will is told at once, with its cause, and its next message brings it back", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.produce("dev-1", { n: 1 });
    await rig.produce("dev-1", "offline", { kind: "state" });
    await rig.settled();
    const stored = rig.store.devices.get("dev-1")!;
    assert.equal([stored.online, stored.cause], [false, "disconnected"]);
    assert.is(await rig.view.reader.seen("default", ["dev-1"]), null);
    await rig.produce("dev-1", "online", { kind: "state" });
    await rig.settled();
    assert.is(stored.online, true);
    assert.equal(presenceTold(rig), [
      [true, null],
      [false, "disconnected"],
      [true, null],
    ]);
    await rig.wait("the changes to be counted", () => {
      const count = (to: string) =>
        running
          .of("presence_changed")
          .reduce((sum, event) => sum + (event.to === to ? event.count : 0), 0);
      return count("online") === 2 && count("disconnected") === 1;
    });
  }));

test("states that a broker had kept bring no dead device to life", () =>
  withRig(async (rig) => {
    await rig.start();
    const headers = { "mqtt-retained": "1" };
    await rig.produce("dev-1", "online", { kind: "state", headers });
    await rig.produce("dev-2", { n: 1 });
    await rig.produce("dev-2", "offline", { kind: "state", headers });
    await rig.settled();
    assert.equal(await rig.view.reader.seen("default", ["dev-1"]), [null]);
    assert.is(rig.store.devices.get("dev-2")?.online, true);
    assert.equal(presenceTold(rig), [[true, null]]);
  }));

test("a lane whose care fails each time does not keep the others from theirs", () =>
  withRig(
    async (rig) => {
      let broken = false;
      const running = await rig.start({
        ports: {
          link: {
            ...rig.link.link,
            connected() {
              if (broken) throw new Error("a fault that will not pass");
              return false;
            },
          },
        },
      });
      const devices = Array.from({ length: 20 }, (_, n) => `dev-${n}`);
      for (const [n, device] of devices.entries())
        await rig.produce(device, { n });
      // Only the first lane has a command, and with it something to ask the broker.
      const first = devices.find((device) => partitionOf(device, 4) === 0)!;
      await rig.command(first, "c1", 600_000);
      await rig.settled();
      broken = true;
      await rig.wait(
        "its care to fail",
        () => running.of("failure").length > 0,
      );
      rig.pass(61_000);
      const others = devices.filter((device) => partitionOf(device, 4) !== 0);
      await rig.wait("the other lanes' devices to go", () =>
        others.every((device) => !rig.store.devices.get(device)!.online),
      );
    },
    { partitions: 4 },
  ));

test.run();
