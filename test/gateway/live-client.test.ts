/** One live stream whose client is slow, frozen or gone: what it is sent, what is left out and counted, what it may hold. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createLiveClient } from "../../src/gateway/live/client.js";
import {
  batchOf,
  type Frame,
  updateFrame,
} from "../../src/gateway/live/frame.js";
import { createPlaces } from "../../src/gateway/live/places.js";
import type { Sink } from "../../src/gateway/live/sink.js";
import { createSlots } from "../../src/gateway/live/slots.js";

const slow = suite("slow live streams");

const RULES = { bufferBytes: 1000, stuckMs: 30_000, tellMs: 1000 };

function rigOf(rules = RULES) {
  const written: string[] = [];
  let buffered = 0;
  let sent = 0;
  let ended: string | null = null;
  const sink: Sink = {
    kind: "sse",
    write(batch) {
      buffered += batch.bytes;
      for (const { event, data } of batch.frames)
        written.push(`${event} ${data.toString().slice(0, 60)}`);
    },
    beat: () => undefined,
    buffered: () => buffered,
    sent: () => sent,
    end(reason) {
      ended = reason;
    },
  };
  const counts = { frames: 0, conflated: 0, closedSlow: 0 };
  let behind = 0;
  const client = createLiveClient({
    sink: () => sink,
    untilMs: Number.POSITIVE_INFINITY,
    rules,
    counts,
    fellBehind: () => behind++,
  });
  return {
    client,
    counts,
    written,
    ended: () => ended,
    behind: () => behind,
    /** The client takes so many bytes. */
    takes(bytes: number) {
      sent += Math.min(bytes, buffered);
      buffered = Math.max(0, buffered - bytes);
    },
  };
}

/** About 122 bytes with what is added to each. */
const frameOf = (device: string, n: number, padding = 0): Frame =>
  updateFrame(
    device,
    Buffer.from(
      `{"device_id":"${device}","payload":{"n":${n},"pad":"${"x".repeat(padding)}"},"timestamp":${n}}`,
    ),
  );
const take = (rig: ReturnType<typeof rigOf>, ...frames: Frame[]): void =>
  rig.client.take(batchOf(frames));
const nth = (text: string): number => Number(/"n":(\d+)/.exec(text)?.[1]);

slow(
  "of each device the newest waits, those that wait longest go first",
  () => {
    const rig = rigOf();
    rig.client.open(new Set());
    for (let n = 0; n < 8; n++) take(rig, frameOf("a", n));
    assert.is(rig.written.length, 8, "as many as fit");
    for (let n = 8; n < 100; n++)
      take(rig, frameOf(n % 2 === 0 ? "a" : "b", n));
    assert.is(rig.behind(), 1);
    assert.is(rig.written.length, 8);
    assert.is(rig.client.catchUp(0), true, "it has taken nothing");
    assert.is(rig.written.length, 8);
    rig.takes(10_000);
    assert.is(rig.client.catchUp(1000), false);
    assert.is(rig.written[8], 'conflated {"skipped":90,"left_out":0}');
    assert.equal(rig.written.slice(9).map(nth), [98, 99]);
    assert.is(rig.counts.conflated, 90);
    assert.is(rig.counts.frames, 8 + 1 + 2);
    take(rig, frameOf("a", 100));
    assert.is(nth(rig.written.at(-1)!), 100, "and it is even again");
  },
);

slow("what waits is bounded in bytes, whatever comes", () => {
  const rig = rigOf();
  rig.client.open(new Set());
  for (let n = 0; n < 5000; n++) take(rig, frameOf(`dev-${n}`, n));
  for (let n = 0; n < 10; n++) take(rig, frameOf(`dev-${n}`, n, 5000));
  const before = rig.written.length;
  rig.takes(10_000);
  while (rig.client.catchUp(10_000)) rig.takes(10_000);
  const after = rig.written.slice(before);
  assert.ok(after.length < 12, `${after.length} were kept`);
  const [told] = after.filter((text) => text.startsWith("conflated"));
  const { skipped, left_out: leftOut } = JSON.parse(told!.slice(10)) as {
    skipped: number;
    left_out: number;
  };
  assert.is(skipped, rig.counts.conflated);
  assert.is(skipped + rig.counts.frames - 1, 5010, "each is sent or counted");
  assert.ok(leftOut > 4000 && leftOut <= skipped);
});

slow("a message larger than the buffer goes when nothing else is there", () => {
  const rig = rigOf();
  rig.client.open(new Set());
  take(rig, frameOf("a", 1, 100_000));
  assert.is(rig.written.length, 1);
  take(rig, frameOf("a", 2));
  assert.is(rig.written.length, 1);
  rig.takes(1_000_000);
  assert.is(rig.client.catchUp(0), false);
  assert.is(nth(rig.written.at(-1)!), 2);
});

slow("while it opens, what comes is held, and the overflow conflated", () => {
  const rig = rigOf();
  const frames = Array.from({ length: 40 }, (_, n) => frameOf("a", n));
  for (const frame of frames) take(rig, frame);
  assert.is(rig.written.length, 0);
  rig.client.open(new Set([frames[1]!.data.toString()]));
  const held = rig.written.map(nth);
  assert.equal(held, [0, 2, 3, 4, 5, 6, 7, 8].slice(0, held.length));
  assert.ok(held.length >= 5);
  rig.takes(10_000);
  assert.is(rig.client.catchUp(0), false);
  assert.is(nth(rig.written.at(-1)!), 39);
});

slow(
  "who takes nothing for too long is cut off; who takes little is not",
  () => {
    const rig = rigOf();
    rig.client.open(new Set());
    take(rig, frameOf("a", 1), frameOf("a", 2));
    assert.is(rig.client.cutIfStuck(0), false);
    for (let ms = 1000; ms <= 60_000; ms += 1000) {
      rig.takes(1);
      assert.is(rig.client.cutIfStuck(ms), false);
    }
    assert.is(rig.client.cutIfStuck(89_999), false);
    assert.is(rig.client.cutIfStuck(90_000), true);
    assert.is(rig.ended(), "too_slow");
    assert.is(rig.counts.closedSlow, 1);
    take(rig, frameOf("a", 3));
    assert.is(rig.client.catchUp(0), false);
    assert.is(rig.written.length, 2, "nothing more is written");
    assert.is(rig.client.cutIfStuck(200_000), false, "nor counted again");
  },
);

slow("a quiet stream is never stuck", () => {
  const rig = rigOf();
  rig.client.open(new Set());
  for (let ms = 0; ms < 600_000; ms += 1000)
    assert.is(rig.client.cutIfStuck(ms), false);
});

slow("places are counted, and given back once", () => {
  const places = createPlaces({ total: 0, perUser: 2, perAddress: 0 });
  const first = places.take("ana", "::1");
  places.take("ana", "::1");
  assert.throws(() => places.take("ana", "::1"), /ana has 2/);
  first();
  first();
  places.take("ana", "::1");
  assert.throws(() => places.take("ana", "::1"), /ana has 2/);
});

slow(
  "a slot goes to who waits longest, and who waits too long goes without",
  async () => {
    const slots = createSlots(1);
    const give = await slots.take(1);
    assert.is(await slots.take(1), null);
    const order: string[] = [];
    const second = slots.take(60_000).then((slot) => (order.push("2"), slot));
    const third = slots.take(60_000).then((slot) => (order.push("3"), slot));
    give!();
    give!();
    (await second)!();
    (await third)!();
    assert.equal(order, ["2", "3"]);
    assert.ok(await slots.take(1), "free again");
  },
);

slow.run();
