/** Dead letters on their way back through a lane, over doubles: order, presence, and what becomes of each. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HEADER } from "../../src/domain/message.js";
import { TOPIC } from "../../src/domain/names.js";
import { placeText } from "../../src/domain/replay.js";
import { createReplayer } from "../../src/pipeline/replay.js";
import type { LetterFilter, ReplayPlace } from "../../src/ports.js";
import { throwingOn } from "../support/messages.js";
import { type Rig, upTo, withRig } from "../support/pipeline-rig.js";

const test = suite("replay of dead letters");

const ALL: LetterFilter = {
  tenant: null,
  device: null,
  reason: null,
  fingerprint: null,
  id: null,
  sinceMs: null,
  untilMs: null,
};
const poisoned = {
  reducer: (own: Parameters<typeof throwingOn>[1]) => throwingOn("bad", own),
};
const bounds = () => ({ run: "r1", signal: new AbortController().signal });

/** A desk that knows what the rig's store holds. */
function deskOf({ store }: Rig, pages: number = Infinity) {
  const marked: number[] = [];
  const places = (): ReplayPlace[] => {
    const byPlace = new Map<string, ReplayPlace>();
    [...store.letters].forEach(([at, { source, item }], id) => {
      if (store.replayed.has(at)) return;
      const { topic, partition, offset } = source;
      const place = placeText(source);
      const ids = [...(byPlace.get(place)?.ids ?? []), id];
      const ofPoints = item >= 0;
      byPlace.set(place, { topic, partition, offset, ids, ofPoints, atMs: 0 });
    });
    return [...byPlace.values()].toSorted((a, b) => a.offset - b.offset);
  };
  return {
    marked,
    replayable: async (
      _: LetterFilter,
      after: { offset: number } | null,
      limit: number,
    ) =>
      places()
        .filter(({ offset }) => offset > (after?.offset ?? -1))
        .slice(0, Math.min(limit, pages)),
    markReplaying: async (_: unknown, __: string, ids: readonly number[]) =>
      void marked.push(...ids),
  };
}

const replayerOf = ({ log }: Rig, desk: ReturnType<typeof deskOf>) =>
  createReplayer({ desk, log: log.inspector, writer: log.writer });

const reasons = ({ store }: Rig): string[] =>
  [...store.letters.values()].map(({ reason }) => reason);

test("letters are appended in log order, after they are marked, and each is stored once", () =>
  withRig(async (rig) => {
    const broken = await rig.start(poisoned);
    for (const n of upTo(9)) {
      await rig.produce("dev-1", n % 2 ? { n } : { n, bad: "bad" });
      if (n < 4) await rig.settled();
    }
    await rig.settled();
    await broken.stop();
    assert.equal(rig.values("dev-1"), [1, 3, 5, 7]);
    const mended = await rig.start();
    const desk = deskOf(rig, 2);
    // The device is in quarantine by now; that is for another test.
    for (const device of rig.store.devices.values())
      device.quarantinedUntilMs = 0;
    const end = rig.records(TOPIC.data).length;
    const replayed = await replayerOf(rig, desk).replay(ALL, bounds());
    assert.equal(replayed, { appended: 5, gone: 0 });
    await rig.settled();
    const added = rig.records(TOPIC.data).slice(end);
    assert.equal(
      added.map(({ headers }) => headers[HEADER.replayOf]),
      [0, 2, 4, 6, 8].map((n) => `iot-data/0/${n}`),
    );
    assert.equal(
      rig.store
        .rows()
        .filter(({ name }) => name === "n")
        .map(({ value }) => value!)
        .toSorted((a, b) => a - b),
      upTo(9),
    );
    assert.is(rig.store.replayed.size, 5);
    assert.equal(await replayerOf(rig, desk).replay(ALL, bounds()), {
      appended: 0,
      gone: 0,
    });
    await mended.stop();
  }));

test("a letter that fails again keeps its place, with the new reason and one more attempt", () =>
  withRig(async (rig) => {
    const running = await rig.start(poisoned);
    await rig.produce("dev-1", { n: 1, bad: "bad" });
    await rig.settled();
    assert.equal(reasons(rig), ["actor_crash"]);
    const [first] = rig.store.letters.values();
    await replayerOf(rig, deskOf(rig)).replay(ALL, bounds());
    await rig.settled();
    const letters = [...rig.store.letters.values()];
    assert.is(letters.length, 1);
    assert.is(letters[0]!.attempts, first!.attempts + 1);
    assert.is(letters[0]!.source.offset, 0);
    assert.is(rig.store.replayed.size, 0);
    await running.stop();
  }));

test("crashes of replays do not put a device in quarantine: that was the operator's doing", () =>
  withRig(async (rig) => {
    const running = await rig.start(poisoned);
    for (const n of upTo(6)) {
      await rig.produce("dev-1", { n, bad: "bad" });
      await rig.settled();
      rig.pass(61_000);
    }
    const replayer = replayerOf(rig, deskOf(rig));
    assert.is((await replayer.replay(ALL, bounds())).appended, 6);
    await rig.settled();
    assert.equal(reasons(rig), Array<string>(6).fill("actor_crash"));
    assert.equal(running.of("actor_quarantined"), []);
    await rig.produce("dev-1", { n: 7 });
    await rig.settled();
    assert.equal(rig.values("dev-1"), [7]);
    await running.stop();
  }));

test("a replay does not say that its device is there now", () =>
  withRig(async (rig) => {
    const broken = await rig.start(poisoned);
    const longAgo = rig.clock() - 3_600_000;
    await rig.produce("dev-1", { n: 1, bad: "bad" }, { arrivalMs: longAgo });
    await rig.settled();
    await broken.stop();
    const mended = await rig.start();
    await replayerOf(rig, deskOf(rig)).replay(ALL, bounds());
    await rig.settled();
    assert.equal(
      rig.store.rows().filter(({ name }) => name === "n").length,
      1,
      "it is stored",
    );
    const device = rig.store.devices.get("dev-1")!;
    assert.is(device.online, false);
    assert.equal(
      mended.of("latency").map(({ count }) => count),
      [],
    );
    await mended.stop();
  }));

test("a rehearsal says what would be stored and what fails again, and writes nothing", () =>
  withRig(async (rig) => {
    const broken = await rig.start(poisoned);
    await rig.produce("dev-1", { n: 1, m: 2, bad: "bad" });
    await rig.produce("dev-2", { schema: "none" });
    await rig.produce("dev-3", { n: 1, bad: "bad" });
    await rig.settled();
    await broken.stop();
    const desk = deskOf(rig);
    const before = rig.records(TOPIC.data).length;
    const told = await replayerOf(rig, desk).rehearse(ALL, {
      ...bounds(),
      decode: rig.decoder.decode,
    });
    assert.equal(told.stored, { messages: 2, points: 5 });
    assert.equal(told.failed, { unknown_schema: 1 });
    assert.is(told.samples.length, 3);
    assert.match(told.samples[0]!.says, "n = 1, m = 2, bad = bad");
    assert.is(rig.records(TOPIC.data).length, before);
    assert.equal(desk.marked, []);
  }));

test("a letter whose record is not on the log any more is told, and not marked", () =>
  withRig(async (rig) => {
    const broken = await rig.start(poisoned);
    await rig.produce("dev-1", { n: 1, bad: "bad" });
    await rig.settled();
    await broken.stop();
    const desk = deskOf(rig);
    const asked = {
      ...desk,
      replayable: async (
        filter: LetterFilter,
        after: { offset: number } | null,
        limit: number,
      ) => [
        ...(await desk.replayable(filter, after, limit)),
        ...(after === null
          ? [
              {
                topic: TOPIC.data,
                partition: 0,
                offset: 77,
                ids: [9],
                ofPoints: false,
                atMs: 0,
              },
            ]
          : []),
      ],
    };
    const replayed = await replayerOf(rig, asked).replay(ALL, bounds());
    assert.equal(replayed, { appended: 1, gone: 1 });
    assert.equal(desk.marked, [0]);
  }));

test("a replay that is called off appends nothing more", () =>
  withRig(async (rig) => {
    const broken = await rig.start(poisoned);
    await rig.produce("dev-1", { n: 1, bad: "bad" });
    await rig.settled();
    await broken.stop();
    const before = rig.records(TOPIC.data).length;
    const signal = AbortSignal.abort(new Error("called off"));
    try {
      await replayerOf(rig, deskOf(rig)).replay(ALL, { run: "r", signal });
      assert.unreachable("it went on");
    } catch (error) {
      assert.match(String(error), "called off");
    }
    assert.is(rig.records(TOPIC.data).length, before);
  }));

test.run();
