import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deviceReducer, newDevice } from "../../src/domain/decide.js";
import { appliedKey } from "../../src/domain/names.js";
import type { DeviceState } from "../../src/domain/device.js";
import type { LogRecord, Message } from "../../src/domain/message.js";
import type { LogInspector } from "../../src/ports.js";
import { createPatience } from "../../src/pipeline/patience.js";
import type { Prepared } from "../../src/pipeline/prepare.js";
import {
  createViewWriter,
  type ViewWriter,
} from "../../src/pipeline/view-writer.js";
import { createMemoryLog, type MemoryLog } from "../support/memory-log.js";
import {
  createMemoryDeviceView,
  type MemoryDeviceView,
} from "../support/memory-view.js";
import { listening, NOW_MS, reading } from "../support/messages.js";
import { until, within } from "../support/wait.js";

const test = suite("the view writer");

const TOPIC = "iot-data";
const MARK = appliedKey(TOPIC, 0);
const HISTORY_S = 18_000;
const rules = { historyUs: HISTORY_S * 1e6, tenantPrefix: "traksense" };
const reduce = deviceReducer(rules);
const PATIENCE = { withinMs: 2000 };

/** What a record of these tests says: its value is its number; `poison` crashes the reducer. */
function decode(record: LogRecord): Message {
  const text = record.value!.toString();
  const { n, id, dup, poison } = JSON.parse(text) as {
    n: number;
    id?: string;
    dup?: boolean;
    poison?: boolean;
  };
  const message = reading(record.offset, {
    source: record,
    timeUs: NOW_MS * 1000 + n,
    arrivalUs: NOW_MS * 1000 + n,
    payload: JSON.stringify({ n }),
    untimedId: id ?? null,
    redelivered: dup ?? false,
  });
  if (poison)
    Object.defineProperty(message, "points", {
      get() {
        throw new TypeError("cannot digest it");
      },
    });
  return message;
}

interface Ground {
  readonly writer: ViewWriter;
  readonly redis: MemoryDeviceView;
  readonly log: MemoryLog;
  readonly failures: unknown[];
  readonly observer: ReturnType<typeof listening>;
  /** Puts records on the log. */
  produce(count: number, over?: object): Promise<void>;
  /** Claims at an offset: what a session does first. */
  begin(start: number): Promise<void>;
  /** What the hot stage hands over: the slice of these offsets. */
  live(from: number, to: number): Promise<void>;
  mark(): number | null;
  /** Numbers in the history. */
  shown(): number[];
  published(): number[];
  /** Makes the log's reader wait before each batch, until released. */
  slowly(): { step(): void; release(): void };
  end(): void;
}

async function withWriter(
  use: (ground: Ground) => Promise<void>,
): Promise<void> {
  const clock = () => NOW_MS;
  const redis = createMemoryDeviceView({ historySeconds: HISTORY_S, clock });
  const log = createMemoryLog({ partitions: 1, now: clock, batchRecords: 4 });
  const observer = listening();
  const ending = new AbortController();
  const failures: unknown[] = [];
  let gate: Promise<void> | null = null;
  let open = () => {};
  const inspector: Pick<LogInspector, "bounds" | "offsetsAt" | "read"> = {
    ...log.inspector,
    read: (range, each, signal) =>
      log.inspector.read(
        range,
        async (records) => {
          if (gate !== null) await gate;
          await each(records);
        },
        signal,
      ),
  };
  const writer = createViewWriter({
    view: redis.view,
    log: inspector,
    topic: TOPIC,
    partition: 0,
    decode,
    rules,
    observer,
    clock,
    signal: ending.signal,
    patiently: createPatience({
      partition: 0,
      signal: ending.signal,
      observer,
      clock,
      backoff: { firstMs: 1, maxMs: 2, factor: 2, jitter: 0 },
      waiting: () => undefined,
    }),
    failed: (error) => failures.push(error),
  });
  redis.view.onReconnect(() => writer.suspect());
  let state: DeviceState = newDevice(reading(0));
  const numbersOf = (texts: readonly string[]): number[] =>
    texts.map(
      (text) => (JSON.parse(text) as { payload: { n: number } }).payload.n,
    );
  let n = 0;
  try {
    await use({
      writer,
      redis,
      log,
      failures,
      observer,
      async produce(count, over = {}) {
        for (let i = 0; i < count; i++)
          await log.writer.append(TOPIC, [
            {
              key: "dev-1",
              value: Buffer.from(JSON.stringify({ n: n++, ...over })),
            },
          ]);
      },
      async begin(start) {
        const [bounds] = await log.inspector.bounds(TOPIC);
        await writer.begin(start, bounds!);
      },
      async live(from, to) {
        const records = log.records(TOPIC, 0).slice(from, to);
        const applied = reduce(state, records.map(decode), NOW_MS);
        state = applied.state;
        const prepared: Prepared = {
          slice: { topic: TOPIC, records, from, to, bytes: 1 },
          view: [applied.effects.view],
          store: [applied.effects.store],
          deadLetters: [],
          replays: [],
          points: 0,
          duplicates: 0,
          oldestUs: 0,
          newestUs: 0,
          lastRecordMs: NOW_MS,
        };
        await within(2000, writer.write(prepared), "a live write");
      },
      mark: () => redis.marks.get(MARK) ?? null,
      shown: () =>
        numbersOf([...redis.history("dev-1").keys()]).toSorted((a, b) => a - b),
      published: () =>
        numbersOf(
          redis.published
            .filter(({ channel }) => channel === "device-updates:dev-1")
            .map(({ text }) => text),
        ),
      slowly() {
        const close = () => {
          gate = new Promise((resolve) => {
            open = resolve;
          });
        };
        close();
        return {
          step() {
            const opened = open;
            close();
            opened();
          },
          release() {
            gate = null;
            open();
          },
        };
      },
      end: () => ending.abort(),
    });
    assert.equal(failures, []);
  } finally {
    gate = null;
    open();
    ending.abort();
  }
}

const upTo = (count: number): number[] =>
  Array.from({ length: count }, (_, i) => i);

const rebuilt = (ground: Ground) =>
  until(() => !ground.writer.rebuilding, {
    ...PATIENCE,
    what: "the rebuild to hand over",
  });

test("each slice moves the mark from the lane's position to its next", () =>
  withWriter(async (ground) => {
    await ground.produce(10);
    await ground.begin(0);
    await ground.live(0, 4);
    assert.is(ground.mark(), 4);
    await ground.live(4, 10);
    assert.is(ground.mark(), 10);
    assert.equal(ground.published(), upTo(10));
    assert.equal(ground.shown(), upTo(10));
  }));

test("a mark ahead of the lane: nothing below it is written or published again", () =>
  withWriter(async (ground) => {
    await ground.produce(10);
    await ground.begin(0);
    await ground.live(0, 6);
    const writes = ground.redis.writes.length;
    // The process ended before its flush; the next one begins at 2.
    await ground.begin(2);
    assert.is(ground.writer.boundary, 6, "slices are cut at the mark");
    await ground.live(2, 6);
    assert.is(ground.redis.writes.length, writes);
    await ground.live(6, 10);
    assert.equal(ground.published(), upTo(10));
    assert.is(ground.mark(), 10);
    assert.is(ground.writer.rebuilding, false);
  }));

test("no mark and nothing stored: it is set without a rebuild", () =>
  withWriter(async (ground) => {
    await ground.produce(3);
    await ground.begin(0);
    assert.is(ground.mark(), 0);
    assert.is(ground.writer.rebuilding, false);
    assert.is(ground.observer.events.length, 0);
  }));

test("a mark behind: what lies between is written again without publishing", () =>
  withWriter(async (ground) => {
    await ground.produce(20);
    await ground.redis.view.setMark(TOPIC, 0, 5);
    await ground.begin(15);
    await rebuilt(ground);
    assert.is(ground.mark(), 15);
    assert.equal(ground.shown(), upTo(15).slice(5));
    assert.equal(ground.published(), []);
    await ground.live(15, 20);
    assert.equal(ground.published(), [15, 16, 17, 18, 19]);
    assert.is(ground.mark(), 20);
  }));

test("no mark: the history's hours are written again", () =>
  withWriter(async (ground) => {
    await ground.produce(12);
    await ground.begin(12);
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(12));
    assert.is(ground.redis.last.get("dev-1")?.offset, 11);
    assert.is(ground.mark(), 12);
  }));

test("a mark beyond the log's end is none", () =>
  withWriter(async (ground) => {
    await ground.produce(6);
    await ground.redis.view.setMark(TOPIC, 0, 900);
    await ground.begin(6);
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(6));
    assert.is(ground.mark(), 6);
  }));

test("a mark before the log's start: the rebuild begins where the log does", () =>
  withWriter(async (ground) => {
    await ground.produce(12);
    ground.log.truncate(TOPIC, 0, 8);
    await ground.redis.view.setMark(TOPIC, 0, 2);
    await ground.begin(12);
    await rebuilt(ground);
    assert.equal(ground.shown(), [8, 9, 10, 11]);
    assert.is(ground.mark(), 12);
  }));

test("live writes go on during a rebuild, publish, and leave the mark to it", () =>
  withWriter(async (ground) => {
    await ground.produce(16);
    const reader = ground.slowly();
    await ground.begin(8);
    assert.is(ground.writer.rebuilding, true);
    await ground.live(8, 10);
    assert.is(ground.mark(), 0, "the mark says what the rebuild has written");
    assert.equal(ground.published(), [8, 9]);
    reader.step();
    await until(() => ground.mark() === 4, { ...PATIENCE, what: "a step" });
    await ground.live(10, 12);
    assert.is(ground.mark(), 4);
    reader.release();
    await rebuilt(ground);
    assert.is(ground.mark(), 12, "it hands over exactly at the live position");
    await ground.live(12, 16);
    assert.is(ground.mark(), 16);
    assert.equal(ground.shown(), upTo(16));
    assert.equal(ground.published(), upTo(16).slice(8));
  }));

test("a rebuild hands over under a constant flow, too", () =>
  withWriter(async (ground) => {
    await ground.produce(40);
    await ground.begin(20);
    let at = 20;
    while (ground.writer.rebuilding && at < 40) {
      await ground.live(at, at + 1);
      at++;
    }
    assert.is(ground.writer.rebuilding, false);
    assert.is(ground.mark(), at);
    await ground.live(at, 40);
    assert.is(ground.mark(), 40);
    assert.equal(ground.shown(), upTo(40));
  }));

test("a last state that is newer than what a rebuild writes stays", () =>
  withWriter(async (ground) => {
    await ground.produce(12);
    const reader = ground.slowly();
    await ground.begin(8);
    await ground.live(8, 12);
    reader.release();
    await rebuilt(ground);
    assert.is(ground.redis.last.get("dev-1")?.offset, 11);
  }));

test("Redis that lost everything between two slices is rebuilt", () =>
  withWriter(async (ground) => {
    await ground.produce(12);
    await ground.begin(0);
    await ground.live(0, 8);
    ground.redis.loseEverything();
    await ground.live(8, 10);
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(10));
    assert.is(ground.mark(), 10);
    assert.equal(ground.published(), upTo(10), "nothing is published twice");
  }));

test("Redis that lost its last second is written again from the mark that it has", () =>
  withWriter(async (ground) => {
    await ground.produce(12);
    await ground.begin(0);
    await ground.live(0, 8);
    await ground.redis.view.setMark(TOPIC, 0, 5);
    await ground.live(8, 10);
    await rebuilt(ground);
    const [started] = ground.observer.events.filter(
      ({ type }) => type === "rebuild_started",
    );
    assert.equal(started, {
      type: "rebuild_started",
      partition: 0,
      from: 5,
      to: 10,
    });
    assert.is(ground.mark(), 10);
  }));

test("an idle lane looks at the mark after a reconnect", () =>
  withWriter(async (ground) => {
    await ground.produce(8);
    await ground.begin(0);
    await ground.live(0, 8);
    ground.redis.loseEverything();
    await ground.writer.lookAfter();
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(8));
    assert.is(ground.mark(), 8);
  }));

test("a reconnect that lost nothing costs one look", () =>
  withWriter(async (ground) => {
    await ground.produce(8);
    await ground.begin(0);
    await ground.live(0, 8);
    const writes = ground.redis.writes.length;
    ground.redis.reconnect();
    await ground.writer.lookAfter();
    assert.is(ground.writer.rebuilding, false);
    assert.is(ground.redis.writes.length, writes);
  }));

test("a rebuild that meets another loss starts again from the beginning", () =>
  withWriter(async (ground) => {
    await ground.produce(16);
    const reader = ground.slowly();
    await ground.begin(16);
    reader.step();
    await until(() => ground.mark() === 4, { ...PATIENCE, what: "a step" });
    ground.redis.loseEverything();
    reader.release();
    await until(() => ground.mark() === 16, { ...PATIENCE, what: "the end" });
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(16));
  }));

test("a rebuild that is interrupted by another loss and a look at the mark fails nothing", () =>
  withWriter(async (ground) => {
    await ground.produce(16);
    const reader = ground.slowly();
    await ground.begin(16);
    reader.step();
    await until(() => ground.mark() === 4, { ...PATIENCE, what: "a step" });
    ground.redis.loseEverything();
    await ground.writer.lookAfter();
    reader.release();
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(16));
    assert.is(ground.mark(), 16);
    assert.equal(ground.failures, []);
  }));

test("a loss after the last step of a rebuild and before its hand-over is not covered up", () =>
  withWriter(async (ground) => {
    await ground.produce(9);
    const reader = ground.slowly();
    await ground.begin(8);
    reader.step();
    await until(() => ground.mark() === 4, { ...PATIENCE, what: "a step" });
    // Everything goes right after the last step has been written.
    const write = ground.redis.view.write;
    let steps = 0;
    ground.redis.view.write = async (one) => {
      const answer = await write(one);
      if (!one.publish && ++steps === 1) ground.redis.loseEverything();
      return answer;
    };
    reader.release();
    await until(() => ground.shown().length === 8 && ground.mark() === 8, {
      ...PATIENCE,
      what: "the rebuild to begin again and end",
    });
    await rebuilt(ground);
    await ground.live(8, 9);
    assert.equal(ground.shown(), upTo(9));
    assert.is(ground.mark(), 9);
  }));

test("Redis that fails in the middle of a rebuild is waited for, and nothing is left out", () =>
  withWriter(async (ground) => {
    await ground.produce(16);
    const reader = ground.slowly();
    await ground.begin(16);
    ground.redis.failNext(3);
    ground.redis.failNext(2, "after");
    reader.release();
    await rebuilt(ground);
    assert.equal(ground.shown(), upTo(16));
    assert.is(ground.mark(), 16);
  }));

test("a live write whose answer was lost moves the mark once", () =>
  withWriter(async (ground) => {
    await ground.produce(8);
    await ground.begin(0);
    ground.redis.failNext(1, "after");
    await ground.live(0, 4);
    assert.is(ground.mark(), 4);
    assert.is(ground.writer.rebuilding, false);
    await ground.live(4, 8);
    assert.is(ground.mark(), 8);
  }));

test("a redelivered message that the live lane knew is not shown again by a rebuild, in whatever batch it lies", () =>
  withWriter(async (ground) => {
    await ground.produce(1, { id: "b:1:x" });
    await ground.produce(6);
    await ground.produce(1, { id: "b:1:x", dup: true });
    await ground.begin(0);
    await ground.live(0, 8);
    const before = ground.shown();
    assert.equal(before, upTo(7));
    ground.redis.loseEverything();
    await ground.writer.lookAfter();
    await rebuilt(ground);
    assert.equal(ground.shown(), before);
  }));

test("a message that crashes the reducer does not stop a rebuild, nor hide its neighbours", () =>
  withWriter(async (ground) => {
    await ground.produce(2);
    await ground.produce(1, { poison: true });
    await ground.produce(2);
    await ground.begin(5);
    await rebuilt(ground);
    assert.equal(ground.shown(), [0, 1, 3, 4]);
    assert.is(ground.mark(), 5);
  }));

test("a rebuild ends with its session", () =>
  withWriter(async (ground) => {
    await ground.produce(16);
    const reader = ground.slowly();
    await ground.begin(16);
    ground.end();
    reader.release();
    await new Promise((resolve) => setImmediate(resolve));
    assert.is(ground.mark(), 0);
    assert.equal(ground.shown(), []);
    ground.failures.length = 0;
  }));

test.run();
