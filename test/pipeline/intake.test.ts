import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { TwinstreamError } from "../../src/errors.js";
import { createIntake } from "../../src/pipeline/intake.js";
import type { Position } from "../../src/pipeline/position.js";
import {
  createSliceQueue,
  cut,
  type Slice,
} from "../../src/pipeline/slices.js";
import { NOW_MS, record } from "../support/messages.js";

const TOPIC = "iot-data";

function records(from: number, to: number, bytes = 10) {
  return Array.from({ length: to - from }, (_, i) =>
    record(from + i, { value: Buffer.alloc(bytes), key: null }),
  );
}

function intake(options: {
  start?: number;
  witness?: Position["witness"];
  share?: { messages: number; bytes: number };
  boundary?: number;
}) {
  const pushed: Slice[] = [];
  const calls: string[] = [];
  const refusals: TwinstreamError[] = [];
  const ended = new AbortController();
  const made = createIntake({
    feed: {
      seek: (_topic, _partition, offset) => calls.push(`seek ${offset}`),
      pause: () => calls.push("pause"),
      resume: () => calls.push("resume"),
    },
    partition: 0,
    positions: [
      {
        topic: TOPIC,
        start: options.start ?? 0,
        witness: options.witness ?? null,
        lost: null,
      },
    ],
    share: () => options.share ?? { messages: 1000, bytes: 1e9 },
    boundary: () => options.boundary ?? -1,
    push: (slice) => pushed.push(slice),
    refused: (error) => refusals.push(error),
    signal: ended.signal,
  });
  return { intake: made, pushed, calls, refusals, ended };
}

const slicing = suite("slices");

slicing("any cut of a batch is gapless and in order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 400_000 }), {
        minLength: 1,
        maxLength: 40,
      }),
      fc.integer({ min: -1, max: 45 }),
      (sizes, boundary) => {
        const batch = sizes.map((bytes, i) =>
          record(i, { value: Buffer.alloc(bytes), key: null }),
        );
        const slices = cut(TOPIC, batch, 0, boundary);
        let at = 0;
        for (const slice of slices) {
          assert.is(slice.from, at);
          assert.is(slice.records[0]!.offset, at);
          at = slice.to;
          if (boundary > slice.from) assert.ok(boundary >= slice.to);
        }
        assert.is(at, sizes.length);
      },
    ),
    { numRuns: 200 },
  );
});

slicing(
  "a slice holds about a megabyte, and one larger record alone is one",
  () => {
    const batch = [600_000, 600_000, 3_000_000, 10].map((bytes, i) =>
      record(i, { value: Buffer.alloc(bytes), key: null }),
    );
    const lengths = cut(TOPIC, batch, 0, -1).map((one) => one.records.length);
    assert.equal(lengths, [2, 1, 1]);
  },
);

slicing(
  "offsets without records belong to the slice of the record after them",
  () => {
    const [slice] = cut(TOPIC, [record(5), record(9)], 3, -1);
    assert.is(slice!.from, 3);
    assert.is(slice!.to, 10);
  },
);

slicing(
  "what follows is made one with what waits before it, up to a whole slice, and not across a boundary",
  async () => {
    const queue = createSliceQueue("device-commands", () => 7);
    const slice = (from: number, to: number, bytes = 10) =>
      cut(TOPIC, records(from, to, bytes), from, -1)[0]!;
    for (const one of [
      slice(0, 2),
      slice(2, 5),
      slice(5, 7),
      slice(7, 8, 1_000_000),
      slice(8, 9, 100_000),
      slice(9, 12),
    ])
      queue.push(one);
    const found: (readonly number[])[] = [];
    for (let i = 0; i < 3; i++) {
      const { from, to, records: all } = (await queue.next())!;
      assert.equal(
        all.map(({ offset }) => offset),
        Array.from({ length: to - from }, (_, n) => from + n),
      );
      found.push([from, to]);
    }
    assert.equal(found, [
      [0, 7],
      [7, 8],
      [8, 12],
    ]);
  },
);

slicing.run();

const test = suite("intake");

test("records before the position are skipped", () => {
  const { intake: taking, pushed } = intake({ start: 5 });
  assert.is(taking.take(TOPIC, records(2, 8), 8), true);
  assert.equal(
    pushed.map(({ from, to }) => [from, to]),
    [[5, 8]],
  );
});

test("a batch that begins beyond the position is sought once, and then taken for what the log has", () => {
  const { intake: taking, pushed, calls } = intake({ start: 5 });
  assert.is(taking.take(TOPIC, records(7, 9), 9), false);
  assert.equal(calls, ["seek 5"]);
  assert.is(taking.take(TOPIC, records(7, 9), 9), true);
  assert.equal(
    pushed.map(({ from, to }) => [from, to]),
    [[5, 9]],
  );
});

test("the batch that fills its share is taken whole, and it pauses until some of it is stored", () => {
  const share = { messages: 10, bytes: 1e9 };
  const { intake: taking, pushed, calls } = intake({ share });
  assert.is(taking.take(TOPIC, records(0, 9), 60), true);
  assert.equal(calls, []);
  assert.is(taking.take(TOPIC, records(9, 39, 400_000), 60), true);
  assert.is(pushed.at(-1)!.to, 39);
  assert.equal(calls, ["pause"]);
  taking.stored(pushed.slice(0, 1));
  assert.equal(calls, ["pause"], "there is no room yet");
  taking.stored(pushed.slice(1));
  assert.equal(calls, ["pause", "resume"]);
  assert.is(taking.held.messages, 0);
  assert.is(taking.held.bytes, 0);
});

test("bytes bound it as messages do", () => {
  const share = { messages: 1000, bytes: 1000 };
  const { intake: taking, calls } = intake({ share });
  assert.is(taking.take(TOPIC, records(0, 2, 800), 2), true);
  assert.equal(calls, ["pause"]);
});

test("another record than the one stored last is refused", () => {
  const {
    intake: taking,
    pushed,
    refusals,
  } = intake({
    start: 5,
    witness: { offset: 4, ms: NOW_MS - 1 },
  });
  assert.equal(taking.positions(), [{ topic: TOPIC, offset: 4 }]);
  assert.is(taking.take(TOPIC, records(4, 8), 8), false);
  assert.is(refusals[0]?.code, "OTHER_RECORD");
  assert.is(pushed.length, 0);
});

test("the record stored last is looked at and not taken again", () => {
  const {
    intake: taking,
    pushed,
    refusals,
  } = intake({
    start: 5,
    witness: { offset: 4, ms: NOW_MS },
  });
  assert.is(taking.take(TOPIC, records(4, 8), 8), true);
  assert.is(refusals.length, 0);
  assert.equal(
    pushed.map(({ from, to }) => [from, to]),
    [[5, 8]],
  );
  assert.equal(taking.positions(), [{ topic: TOPIC, offset: 8 }]);
});

test("a session that has ended takes nothing more", () => {
  const { intake: taking, pushed, ended } = intake({});
  ended.abort();
  assert.is(taking.take(TOPIC, records(0, 6), 6), false);
  assert.is(pushed.length, 0);
});

test.run();
