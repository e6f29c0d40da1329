import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deviceReducer, newDevice } from "../../src/domain/decide.js";
import type { DeviceState } from "../../src/domain/device.js";
import type { DeadLetter, Message } from "../../src/domain/message.js";
import { TwinstreamError } from "../../src/errors.js";
import type { OutgoingRecord, TelemetryStore } from "../../src/ports.js";
import {
  createFlusher,
  type Flusher,
  type Stored,
  type Taken,
} from "../../src/pipeline/flusher.js";
import { createPatience } from "../../src/pipeline/patience.js";
import type { Prepared } from "../../src/pipeline/prepare.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import {
  createMemoryStore,
  type MemoryStore,
} from "../support/memory-store.js";
import { listening, NOW_MS, reading, record } from "../support/messages.js";
import { until, within } from "../support/wait.js";

const test = suite("the flusher");
const reduce = deviceReducer({
  historyUs: 18_000_000_000,
  tenantPrefix: "traksense",
});
const PATIENCE = { withinMs: 2000 };

interface Ground {
  readonly flusher: Flusher;
  readonly store: MemoryStore;
  /** Verbs of the store in the order in which they were called. */
  readonly calls: string[];
  readonly stored: readonly Stored[];
  readonly taken: Taken[];
  readonly lost: (string | Error)[];
  /** Dead letters put on the log. */
  readonly produced: OutgoingRecord[];
  readonly observer: ReturnType<typeof listening>;
  failAppend(times: number): void;
  /** The next transactions fail at their COMMIT. */
  failCommit(times: number): void;
  /** Gathers one slice that holds these messages of dev-1 and letters. */
  gather(messages: readonly Message[], letters?: readonly DeadLetter[]): void;
  /** Messages from the next offset on. */
  readings(count: number): Message[];
}

async function withFlusher(
  use: (ground: Ground) => Promise<void>,
  options: { batchSize?: number; batchMs?: number } = {},
): Promise<void> {
  const store = createMemoryStore();
  const calls: string[] = [];
  let failingCommits = 0;
  const watched: TelemetryStore = {
    ...store,
    register: (...args) => (calls.push("register"), store.register(...args)),
    flush: (batch, beforeCommit) => {
      calls.push("flush");
      return store.flush(batch, async (refused) => {
        await beforeCommit(refused);
        if (failingCommits-- > 0)
          throw new TwinstreamError("STORE_UNREACHABLE", "told to fail");
      });
    },
  };
  const claims = await store.claim(LANE_TOPICS, 0, "me");
  const stored: Stored[] = claims.map(({ topic, epoch, nextOffset }) => ({
    topic,
    epoch,
    offset: nextOffset,
    lastRecordMs: null,
  }));
  const ending = new AbortController();
  const observer = listening();
  const taken: Taken[] = [];
  const lost: (string | Error)[] = [];
  const produced: OutgoingRecord[] = [];
  let failing = 0;
  const flusher = createFlusher({
    partition: 0,
    owner: "me",
    clusterId: "log-1",
    store: watched,
    deadLetters: {
      append: async (_topic, records) => {
        calls.push("append");
        if (failing-- > 0)
          throw new TwinstreamError("LOG_UNREACHABLE", "told to fail");
        produced.push(...records);
      },
    },
    observer,
    clock: () => NOW_MS,
    patiently: createPatience({
      partition: 0,
      signal: ending.signal,
      observer,
      clock: () => NOW_MS,
      backoff: { firstMs: 1, maxMs: 2, factor: 2, jitter: 0 },
      waiting: () => undefined,
    }),
    stored,
    batchSize: options.batchSize ?? 10,
    batchMs: options.batchMs ?? 5,
    presence: () => [],
    flushed: (one) => taken.push(one),
    lost: (why) => {
      lost.push(why);
      flusher.end();
    },
  });
  let state: DeviceState = newDevice(reading(0));
  let next = 0;
  let gathered = 0;
  try {
    await use({
      flusher,
      store,
      calls,
      stored,
      taken,
      lost,
      produced,
      observer,
      failAppend: (times) => {
        failing = times;
      },
      failCommit: (times) => {
        failingCommits = times;
      },
      readings: (count) =>
        Array.from({ length: count }, () =>
          reading(next++, { timeUs: NOW_MS * 1000 + next }),
        ),
      gather(messages, letters = []) {
        const applied = reduce(state, messages, NOW_MS);
        state = applied.state;
        const records = [...messages, ...letters].map(({ source }) => source);
        const to = Math.max(...records.map(({ offset }) => offset)) + 1;
        const prepared: Prepared = {
          slice: { topic: "iot-data", records, from: gathered, to, bytes: 1 },
          view: [applied.effects.view],
          store: [applied.effects.store],
          deadLetters: letters,
          replays: [],
          points: 0,
          duplicates: 0,
          oldestUs: 0,
          newestUs: 0,
          lastRecordMs: NOW_MS,
        };
        gathered = to;
        next = Math.max(next, to);
        flusher.gather(prepared);
      },
    });
  } finally {
    flusher.end();
    ending.abort();
  }
}

const letter = (offset: number): DeadLetter => ({
  source: record(offset),
  reason: "parse_error",
  detail: "no JSON",
  tenant: null,
  deviceId: null,
  topic: "iot-data",
  payload: Buffer.from("x"),
  item: -1,
  attempts: 1,
});

const nextOffset = (store: MemoryStore): number | undefined =>
  store.fences.get("iot-data/0")?.nextOffset;

const flushes = (ground: Ground, count: number) =>
  until(() => ground.taken.length >= count, {
    ...PATIENCE,
    what: `${count} flushes`,
  });

test("a flush starts as soon as a whole batch has gathered", () =>
  withFlusher(
    async (ground) => {
      ground.gather(ground.readings(9));
      assert.equal(ground.calls, []);
      ground.gather(ground.readings(1));
      await flushes(ground, 1);
      assert.is(nextOffset(ground.store), 10);
      assert.is(ground.store.rows().length, 10);
    },
    { batchSize: 10, batchMs: 60_000 },
  ));

test("a flush starts after its time with what there is", () =>
  withFlusher(
    async (ground) => {
      ground.gather(ground.readings(2));
      await flushes(ground, 1);
      assert.is(nextOffset(ground.store), 2);
    },
    { batchSize: 1000, batchMs: 5 },
  ));

test("one flush is in flight, and the next takes all that has gathered meanwhile", () =>
  withFlusher(
    async (ground) => {
      const release = ground.store.hold();
      ground.gather(ground.readings(1));
      await until(() => ground.calls.includes("flush"), {
        ...PATIENCE,
        what: "the first flush to start",
      });
      for (let i = 0; i < 5; i++) ground.gather(ground.readings(3));
      await new Promise((resolve) => setImmediate(resolve));
      assert.is(ground.calls.filter((call) => call === "flush").length, 1);
      release();
      await flushes(ground, 2);
      assert.is(ground.calls.filter((call) => call === "flush").length, 2);
      assert.equal(
        ground.store.flushes.map(({ fence }) => [fence[1]!.from, fence[1]!.to]),
        [
          [-1, 1],
          [1, 16],
        ],
      );
    },
    { batchSize: 1, batchMs: 60_000 },
  ));

test("devices and sensors get their ids before the flush, and only once", () =>
  withFlusher(
    async (ground) => {
      ground.gather(ground.readings(1));
      await flushes(ground, 1);
      ground.gather(ground.readings(1));
      await flushes(ground, 2);
      assert.equal(ground.calls, ["register", "flush", "flush"]);
    },
    { batchSize: 1 },
  ));

test("a database that is away: the same flush again, whole, until it is stored", () =>
  withFlusher(
    async (ground) => {
      ground.store.failNext({ calls: 3, verb: "flush" });
      ground.gather(ground.readings(2));
      await flushes(ground, 1);
      assert.is(ground.store.rows().length, 2);
      assert.is(
        ground.observer.events.filter((e) => e.type === "lane_waiting").length,
        3,
      );
    },
    { batchSize: 1 },
  ));

test("dead letters are put on the log before the commit, once, however often the transaction is tried", () =>
  withFlusher(
    async (ground) => {
      ground.store.failNext({ verb: "flush", when: "after" });
      ground.gather(ground.readings(1), [letter(1)]);
      await flushes(ground, 1);
      assert.equal(ground.calls, ["register", "flush", "append", "flush"]);
      assert.is(ground.produced.length, 1);
      assert.is(ground.produced[0]!.headers?.["reason"], "parse_error");
      assert.is(ground.store.letters.size, 1);
    },
    { batchSize: 1 },
  ));

test("a transaction that fails after its dead letters were put on the log is tried again with everything but them", () =>
  withFlusher(
    async (ground) => {
      ground.failCommit(2);
      ground.gather(ground.readings(3), [letter(3)]);
      await flushes(ground, 1);
      assert.is(ground.produced.length, 1);
      assert.is(ground.store.rows().length, 3);
      assert.is(ground.store.letters.size, 1);
      assert.is(nextOffset(ground.store), 4);
    },
    { batchSize: 1 },
  ));

test("with the dead-letter topic away nothing is committed, and it goes on by itself", () =>
  withFlusher(
    async (ground) => {
      ground.failAppend(Infinity);
      ground.gather(ground.readings(1), [letter(1)]);
      await until(
        () => ground.calls.filter((call) => call === "append").length > 3,
        { ...PATIENCE, what: "more tries" },
      );
      assert.is(ground.store.flushes.length, 0);
      assert.is(nextOffset(ground.store), -1);
      assert.is(ground.store.rows().length, 0);
      ground.failAppend(0);
      await flushes(ground, 1);
      assert.is(ground.produced.length, 1);
      assert.is(ground.store.rows().length, 1);
    },
    { batchSize: 1 },
  ));

test("a row that the database refuses becomes a dead letter, and the others are stored", () =>
  withFlusher(
    async (ground) => {
      ground.store.refuse((row) =>
        row.source.offset === 1 ? "value out of range" : null,
      );
      ground.gather(ground.readings(3));
      await flushes(ground, 1);
      assert.is(ground.store.rows().length, 2);
      assert.equal(
        ground.produced.map(({ headers }) => [
          headers?.["reason"],
          headers?.["source-offset"],
        ]),
        [["row_refused", "1"]],
      );
      const counted = ground.observer.events.find(
        (event) => event.type === "dead_letters",
      );
      assert.is(counted?.counts.get("row_refused"), 1);
    },
    { batchSize: 1 },
  ));

test("a message of which several points are refused is one record of the dead-letter topic, and all are counted", () =>
  withFlusher(
    async (ground) => {
      const [one] = ground.readings(1);
      const [temp] = reading(0).points;
      ground.gather([
        {
          ...one!,
          refused: [1, 2, 3].map((item) => ({
            ...temp!,
            name: `p${item}`,
            value: 1e200,
            item,
          })),
        } as Message,
      ]);
      await flushes(ground, 1);
      assert.equal(
        ground.produced.map(({ headers }) => headers?.["reason"]),
        ["row_refused"],
      );
      assert.is(ground.store.letters.size, 3);
      const stored = ground.observer.events.find(
        (event) => event.type === "batch_stored",
      );
      assert.equal([stored?.points, stored?.refused], [1, 3]);
    },
    { batchSize: 1 },
  ));

test("conflicts are rows of the database only, never records of the dead-letter topic", () =>
  withFlusher(
    async (ground) => {
      const [one] = ground.readings(1);
      ground.gather([
        {
          ...one!,
          conflicts: [{ ...reading(0).points[0]!, item: 1 }],
        } as Message,
      ]);
      await flushes(ground, 1);
      assert.is(ground.produced.length, 0);
      assert.is(ground.store.letters.size, 1);
    },
    { batchSize: 1 },
  ));

test("an answer lost after the COMMIT is found out and the lane goes on after it", () =>
  withFlusher(
    async (ground) => {
      ground.store.failNext({ verb: "flush", when: "after" });
      ground.gather(ground.readings(2));
      await flushes(ground, 1);
      assert.is(ground.taken[0]!.unknown, true);
      assert.is(ground.stored[1]!.offset, 2);
      ground.gather(ground.readings(2));
      await flushes(ground, 2);
      assert.is(ground.store.rows().length, 4);
      assert.is(ground.taken[1]!.unknown, false);
      assert.equal(ground.lost, []);
    },
    { batchSize: 1 },
  ));

test("a newer claim ends it: nothing of the flush is stored", () =>
  withFlusher(
    async (ground) => {
      await ground.store.claim(LANE_TOPICS, 0, "another");
      ground.gather(ground.readings(2), [letter(2)]);
      await until(() => ground.lost.length > 0, { ...PATIENCE, what: "loss" });
      assert.equal(ground.lost, ["lost"]);
      assert.is(ground.store.rows().length, 0);
      assert.is(ground.produced.length, 0);
      assert.is(ground.taken.length, 0);
    },
    { batchSize: 1 },
  ));

test("an offset that someone else moved ends it", () =>
  withFlusher(
    async (ground) => {
      const fence = ground.store.fences.get("iot-data/0")!;
      fence.nextOffset = 7;
      ground.gather(ground.readings(2));
      await until(() => ground.lost.length > 0, { ...PATIENCE, what: "loss" });
      assert.equal(ground.lost, ["elsewhere"]);
      assert.is(ground.store.rows().length, 0);
    },
    { batchSize: 1 },
  ));

test("an error that will not pass ends it with the error", () =>
  withFlusher(
    async (ground) => {
      const error = new TwinstreamError("STORE_REFUSED", "no such column");
      ground.store.failNext({ verb: "flush", error });
      ground.gather(ground.readings(1));
      await until(() => ground.lost.length > 0, { ...PATIENCE, what: "loss" });
      assert.equal(ground.lost, [error]);
      assert.is(nextOffset(ground.store), -1);
    },
    { batchSize: 1 },
  ));

test("hold waits for the flush in flight and lets none start until resume", () =>
  withFlusher(
    async (ground) => {
      const release = ground.store.hold();
      ground.gather(ground.readings(1));
      await until(() => ground.calls.includes("flush"), {
        ...PATIENCE,
        what: "a flush in flight",
      });
      let held = false;
      const holding = ground.flusher.hold().then(() => {
        held = true;
      });
      await new Promise((resolve) => setImmediate(resolve));
      assert.is(held, false);
      release();
      await within(2000, holding, "the flush in flight to end");
      assert.is(ground.taken.length, 1);
      ground.gather(ground.readings(5));
      await new Promise((resolve) => setTimeout(resolve, 0));
      assert.is(ground.store.flushes.length, 1);
      ground.flusher.resume();
      await flushes(ground, 2);
      assert.is(nextOffset(ground.store), 6);
    },
    { batchSize: 1, batchMs: 1 },
  ));

test("hold of an idle flusher is at once", () =>
  withFlusher(async ({ flusher }) => {
    await within(100, flusher.hold(), "nothing");
  }));

test("drain flushes all that has gathered, and what gathers meanwhile", () =>
  withFlusher(
    async (ground) => {
      const release = ground.store.hold();
      ground.gather(ground.readings(1));
      const drained = ground.flusher.drain();
      ground.gather(ground.readings(2));
      release();
      await within(2000, drained, "the drain");
      assert.is(nextOffset(ground.store), 3);
      assert.is(ground.store.rows().length, 3);
    },
    { batchSize: 1000, batchMs: 60_000 },
  ));

test("nothing starts after the end", () =>
  withFlusher(
    async (ground) => {
      ground.gather(ground.readings(1));
      ground.flusher.end();
      await within(100, ground.flusher.drain(), "a drain without work");
      ground.gather(ground.readings(20));
      assert.equal(ground.calls, []);
    },
    { batchSize: 10, batchMs: 1 },
  ));

test("changes that come from no record are flushed by themselves and move no offset", () =>
  withFlusher(
    async (ground) => {
      ground.flusher.add(
        [{ cmdId: "c1", state: "sent", atUs: 1, evidence: "x" }],
        [],
      );
      await flushes(ground, 1);
      const [flush] = ground.store.flushes;
      assert.is(flush!.commandChanges.length, 1);
      assert.equal(
        flush!.fence.map(({ from, to }) => from === to),
        [true, true],
      );
    },
    { batchMs: 1 },
  ));

test("rows that met others of their sensor and time make the next flush expect more of them", () =>
  withFlusher(
    async (ground) => {
      const first = ground.readings(2);
      ground.gather(first);
      await flushes(ground, 1);
      const again = first.map((message, i) => ({
        ...message,
        source: record(2 + i),
      })) as Message[];
      ground.gather(again);
      await flushes(ground, 2);
      ground.gather(ground.readings(1));
      await flushes(ground, 3);
      ground.gather(ground.readings(1));
      await flushes(ground, 4);
      assert.equal(
        ground.store.flushes.map(({ expectDuplicates }) => expectDuplicates),
        [false, false, true, false],
      );
    },
    { batchSize: 1 },
  ));

test.run();
