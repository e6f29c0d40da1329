/** What every log must do, in memory or over Kafka. Each test gets topics and a group of its own. */
import { type Test, suite } from "uvu";
import * as assert from "uvu/assert";
import type { LogRecord } from "../../src/domain/message.js";
import type {
  LaneFeed,
  LaneFeedHandler,
  LogInspector,
  LogWriter,
  OutgoingRecord,
} from "../../src/ports.js";
import { until, within } from "../support/wait.js";

export interface LogUnderTest {
  readonly writer: LogWriter;
  readonly inspector: LogInspector;
  /** Two empty topics of this test alone, four partitions each. */
  readonly commands: string;
  readonly data: string;
  /** A new member of this test's group, over both topics. The caller stops it. */
  feed(): LaneFeed;
  /** What the group was told; null when nothing was. */
  committed(topic: string, partition: number): Promise<number | null>;
  truncate(topic: string, partition: number, before: number): Promise<void>;
}
export type WithLog = (
  run: (log: LogUnderTest) => Promise<void>,
) => Promise<void>;

const PARTITIONS = [0, 1, 2, 3];
const PATIENCE_MS = 20_000;

const record = (
  key: string | null,
  value: string,
  partition?: number,
): OutgoingRecord => ({
  key,
  value: Buffer.from(value),
  ...(partition !== undefined && { partition }),
});
const numbered = (count: number, partition: number, from = 0) =>
  Array.from({ length: count }, (_, i) =>
    record("k", String(from + i), partition),
  );
const texts = (records: readonly LogRecord[]) =>
  records.map(({ value }) => String(value));

/** A handler that keeps what it gets, and resumes at once unless told otherwise. */
function collector(
  feed: LaneFeed,
  {
    resume = true,
    take = () => true,
  }: { resume?: boolean; take?: (records: LogRecord[]) => boolean } = {},
) {
  const seen = {
    generation: 0,
    joins: 0,
    partitions: [] as readonly number[],
    records: [] as LogRecord[],
    batches: [] as { topic: string; from: number; to: number; high: number }[],
  };
  const handler: LaneFeedHandler = {
    assigned(generation, partitions) {
      seen.generation = generation;
      seen.joins++;
      seen.partitions = partitions;
      if (resume) for (const partition of partitions) feed.resume(partition);
    },
    async batch(topic, _partition, records, high) {
      const from = records[0]!.offset;
      seen.batches.push({ topic, from, to: records.at(-1)!.offset + 1, high });
      if (!take(records)) return false;
      seen.records.push(...records);
      return true;
    },
  };
  return { seen, handler };
}

async function readAll(
  { inspector }: LogUnderTest,
  topic: string,
  partition: number,
  from = 0,
  to = Number.MAX_SAFE_INTEGER,
): Promise<LogRecord[]> {
  const found: LogRecord[] = [];
  await inspector.read(
    { topic, partition, from, to },
    async (records) => {
      found.push(...records);
    },
    new AbortController().signal,
  );
  return found;
}

/** Makes the suite; the caller runs it. */
export function logConformance(name: string, withLog: WithLog): Test {
  const test = suite(name);

  /** Feeds of a test, stopped whatever happens. */
  const withFeeds = (
    run: (log: LogUnderTest, feed: () => LaneFeed) => Promise<void>,
  ) =>
    withLog(async (log) => {
      const feeds: LaneFeed[] = [];
      try {
        await run(log, () => {
          const feed = log.feed();
          feeds.push(feed);
          return feed;
        });
      } finally {
        for (const feed of feeds) await feed.stop();
      }
    });

  test("what is appended is read back with key, value, headers and offsets", () =>
    withLog(async (log) => {
      const before = Date.now();
      await log.writer.append(log.data, [
        {
          key: "a",
          value: Buffer.from([0, 255]),
          headers: { h: "é", empty: "" },
          partition: 2,
        },
        { key: null, value: null, partition: 2 },
      ]);
      const [first, second] = await readAll(log, log.data, 2);
      assert.equal(String(first!.key), "a");
      assert.equal([...first!.value!], [0, 255]);
      assert.equal(first!.headers, { h: "é", empty: "" });
      assert.is(first!.topic, log.data);
      assert.is(first!.partition, 2);
      assert.is(first!.offset, 0);
      assert.ok(Math.abs(first!.timestampMs - before) < 60_000);
      assert.is(second!.key, null);
      assert.is(second!.value, null);
      assert.is(second!.offset, 1);
    }));

  test("a key goes where murmur2 puts it, the same partition in both topics", () =>
    withLog(async (log) => {
      // Where librdkafka's murmur2 puts them, too, over four partitions.
      const places = { "dev-1": 1, "dev-2": 0, "acme/dev-1": 1, ü: 2 };
      for (const topic of [log.data, log.commands])
        await log.writer.append(
          topic,
          Object.keys(places).map((key) => record(key, key)),
        );
      for (const topic of [log.data, log.commands])
        for (const [key, partition] of Object.entries(places))
          assert.ok(
            texts(await readAll(log, topic, partition)).includes(key),
            `${key} in ${partition}`,
          );
    }));

  test("appends made at the same time keep their order and that of their records", () =>
    withLog(async (log) => {
      await Promise.all(
        [0, 1, 2, 3, 4].map((n) =>
          log.writer.append(log.data, numbered(100, 1, n * 100)),
        ),
      );
      assert.equal(
        texts(await readAll(log, log.data, 1)),
        Array.from({ length: 500 }, (_, i) => String(i)),
      );
    }));

  test("bounds and offsets at a time tell where a partition begins and ends", () =>
    withLog(async (log) => {
      await log.writer.append(log.data, numbered(3, 1));
      const writtenMs = Date.now();
      const between = await until(
        () => (Date.now() > writtenMs ? Date.now() : null),
        { withinMs: 1000, everyMs: 1, what: "another millisecond" },
      );
      await log.writer.append(log.data, numbered(2, 1));
      await log.truncate(log.data, 1, 1);
      const none = { low: 0, high: 0 };
      assert.equal(await log.inspector.bounds(log.data), [
        none,
        { low: 1, high: 5 },
        none,
        none,
      ]);
      assert.equal(
        await log.inspector.offsetsAt(log.data, between),
        [0, 3, 0, 0],
      );
      assert.equal(
        await log.inspector.offsetsAt(log.data, between + 3_600_000),
        [0, 5, 0, 0],
      );
      assert.type(await log.inspector.clusterId(), "string");
    }));

  test("a range is read from its first to before its last offset, and no further than the log", () =>
    withLog(async (log) => {
      await log.writer.append(log.data, numbered(10, 0));
      assert.equal(texts(await readAll(log, log.data, 0, 3, 6)), [
        "3",
        "4",
        "5",
      ]);
      assert.equal(texts(await readAll(log, log.data, 0, 8, 99)), ["8", "9"]);
      assert.equal(await readAll(log, log.data, 0, 5, 5), []);
      assert.equal(await readAll(log, log.data, 0, 10, 20), []);
      assert.equal(await readAll(log, log.data, 3), []);
    }));

  test("a range that begins before what retention left begins there", () =>
    withLog(async (log) => {
      await log.writer.append(log.data, numbered(10, 0));
      await log.truncate(log.data, 0, 7);
      assert.equal(texts(await readAll(log, log.data, 0, 0, 9)), ["7", "8"]);
      assert.equal(await readAll(log, log.data, 0, 0, 5), []);
    }));

  test("reading a range ends with its signal, and with what its reader throws", () =>
    withLog(async (log) => {
      await log.writer.append(log.data, numbered(5, 0));
      const range = { topic: log.data, partition: 0, from: 0, to: 5 };
      const stop = new AbortController();
      const outcome = (promise: Promise<void>) =>
        promise.then(
          () => "read",
          (error: Error) => error.message,
        );
      assert.is(
        await outcome(
          log.inspector.read(
            range,
            async () => stop.abort(new Error("enough")),
            stop.signal,
          ),
        ),
        "enough",
      );
      assert.is(
        await outcome(log.inspector.read(range, async () => {}, stop.signal)),
        "enough",
      );
      const reader = () => Promise.reject(new Error("cannot"));
      assert.is(
        await outcome(
          log.inspector.read(range, reader, new AbortController().signal),
        ),
        "cannot",
      );
    }));

  test("a member alone gets all partitions of both topics, in order, from the beginning", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.data, numbered(50, 0));
      await log.writer.append(log.commands, numbered(5, 0));
      const feed = newFeed();
      const { seen, handler } = collector(feed);
      await feed.start(handler);
      assert.equal(seen.partitions, PARTITIONS);
      await log.writer.append(log.data, numbered(50, 0, 50));
      await until(() => seen.records.length === 105, {
        withinMs: PATIENCE_MS,
        what: "105 records",
      });
      const data = seen.records.filter(({ topic }) => topic === log.data);
      assert.equal(
        texts(data),
        Array.from({ length: 100 }, (_, i) => String(i)),
      );
      assert.equal(
        data.map(({ offset }) => offset),
        Array.from({ length: 100 }, (_, i) => i),
      );
      const last = seen.batches
        .filter(({ topic }) => topic === log.data)
        .at(-1)!;
      assert.is(last.high, 100);
    }));

  test("nothing is delivered before a partition is resumed, nor after it is paused", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.data, [...numbered(2, 0), ...numbered(2, 1)]);
      const feed = newFeed();
      const { seen, handler } = collector(feed, { resume: false });
      await feed.start(handler);
      feed.resume(1);
      await until(() => seen.records.length === 2, {
        withinMs: PATIENCE_MS,
        what: "partition 1",
      });
      assert.ok(seen.records.every(({ partition }) => partition === 1));
      feed.pause(1);
      feed.resume(0);
      await log.writer.append(log.data, [
        ...numbered(1, 1, 2),
        ...numbered(1, 0, 2),
      ]);
      await until(() => seen.records.length === 5, {
        withinMs: PATIENCE_MS,
        what: "partition 0",
      });
      assert.is(
        seen.records.filter(({ partition }) => partition === 1).length,
        2,
      );
      feed.resume(1);
      await until(() => seen.records.length === 6, {
        withinMs: PATIENCE_MS,
        what: "the rest",
      });
      assert.is(String(seen.records.at(-1)!.value), "2");
    }));

  test("a batch that was not taken is delivered again", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.data, numbered(3, 0));
      const feed = newFeed();
      let refusals = 0;
      const { seen, handler } = collector(feed, { take: () => ++refusals > 3 });
      await feed.start(handler);
      await until(() => seen.records.length === 3, {
        withinMs: PATIENCE_MS,
        what: "3 records",
      });
      assert.ok(refusals > 3);
      assert.equal(
        seen.batches.map(({ from }) => from),
        seen.batches.map(() => 0),
      );
      assert.equal(texts(seen.records), ["0", "1", "2"]);
    }));

  test("a seek goes back and forth, also from within a batch", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.data, numbered(10, 0));
      const feed = newFeed();
      let again = true;
      const { seen, handler } = collector(feed, {
        resume: false,
        take: () => {
          if (again) feed.seek(log.data, 0, 2);
          again = false;
          return true;
        },
      });
      await feed.start(handler);
      feed.seek(log.data, 0, 8);
      feed.resume(0);
      await until(() => seen.records.length === 10, {
        withinMs: PATIENCE_MS,
        what: "10 records",
      });
      assert.equal(texts(seen.records), [
        "8",
        "9",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
      ]);
      feed.seek(log.commands, 99, 5);
    }));

  test("after a seek out of the log's range the earliest record comes, and a seek back into it works", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.data, numbered(10, 0));
      await log.truncate(log.data, 0, 4);
      const feed = newFeed();
      const { seen, handler } = collector(feed, { resume: false });
      await feed.start(handler);
      feed.seek(log.data, 0, 1);
      feed.resume(0);
      await until(() => seen.records.length === 6, {
        withinMs: PATIENCE_MS,
        what: "what is left",
      });
      assert.is(seen.batches[0]!.from, 4);
      feed.seek(log.data, 0, 9);
      await until(() => seen.records.length === 7, {
        withinMs: PATIENCE_MS,
        what: "the last record",
      });
      assert.is(seen.records.at(-1)!.offset, 9);
    }));

  test("a commit is told to the group, unless it goes backwards or is of an earlier assignment", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.data, numbered(10, 0));
      const feed = newFeed();
      const { seen, handler } = collector(feed);
      await feed.start(handler);
      const commit = (generation: number, offset: number) =>
        feed.commit(generation, [{ topic: log.data, partition: 0, offset }]);
      assert.is(await log.committed(log.data, 0), null);
      await commit(seen.generation, 5);
      assert.is(await log.committed(log.data, 0), 5);
      await commit(seen.generation, 3);
      await commit(seen.generation - 1, 9);
      assert.is(await log.committed(log.data, 0), 5);
      await Promise.all([
        commit(seen.generation, 7),
        commit(seen.generation, 6),
      ]);
      assert.is(await log.committed(log.data, 0), 7);
    }));

  test("members share the partitions evenly, keep what they had, and take over from one that leaves", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(log.commands, numbered(4, 0));
      const dataOf = ({ seen }: ReturnType<typeof collector>) =>
        seen.records.filter(({ topic }) => topic === log.data).length;
      const first = newFeed();
      const a = collector(first);
      await first.start(a.handler);
      const before = a.seen.generation;
      await first.commit(before, [
        { topic: log.commands, partition: 0, offset: 1 },
      ]);
      const second = newFeed();
      const b = collector(second);
      await second.start(b.handler);
      await until(() => a.seen.partitions.length === 2, {
        withinMs: PATIENCE_MS,
        what: "a to share",
      });
      assert.equal(
        [...a.seen.partitions, ...b.seen.partitions].sort((p, q) => p - q),
        PARTITIONS,
      );
      assert.is(b.seen.partitions.length, 2);
      // The commit of the assignment before counts for nothing now, nor does one that another generation made.
      await first.commit(before, [
        { topic: log.commands, partition: 0, offset: 3 },
      ]);
      assert.is(await log.committed(log.commands, 0), 1);

      const kept = { a: [...a.seen.partitions], b: [...b.seen.partitions] };
      const third = newFeed();
      const c = collector(third);
      await third.start(c.handler);
      await until(
        () => a.seen.partitions.length + b.seen.partitions.length === 3,
        { withinMs: PATIENCE_MS, what: "three to share" },
      );
      assert.ok(a.seen.partitions.every((p) => kept.a.includes(p)));
      assert.ok(b.seen.partitions.every((p) => kept.b.includes(p)));
      const moved = c.seen.partitions[0]!;

      await log.writer.append(log.data, numbered(4, moved));
      await until(() => dataOf(c) === 4, {
        withinMs: PATIENCE_MS,
        what: "c to read",
      });
      await third.stop();
      await until(
        () => a.seen.partitions.length + b.seen.partitions.length === 4,
        { withinMs: PATIENCE_MS, what: "c's to be taken over" },
      );
      assert.ok(kept.a.every((p) => a.seen.partitions.includes(p)));
      // Nothing was committed for it: its next owner begins at the beginning.
      await until(() => dataOf(a) + dataOf(b) === 4, {
        withinMs: PATIENCE_MS,
        what: "its records again",
      });
    }));

  test("after a rebalance all partitions are paused again, and a member goes on where it seeks", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(
        log.data,
        PARTITIONS.flatMap((p) => numbered(3, p)),
      );
      const first = newFeed();
      const a = collector(first, { resume: false });
      await first.start(a.handler);
      for (const p of PARTITIONS) first.resume(p);
      await until(() => a.seen.records.length === 12, {
        withinMs: PATIENCE_MS,
        what: "12 records",
      });
      const second = newFeed();
      const b = collector(second, { resume: false });
      await second.start(b.handler);
      await until(() => a.seen.joins === 2, {
        withinMs: PATIENCE_MS,
        what: "the rebalance",
      });
      const [mine, other] = a.seen.partitions;
      await log.writer.append(
        log.data,
        PARTITIONS.flatMap((p) => numbered(1, p, 3)),
      );
      first.seek(log.data, mine!, 3);
      first.resume(mine!);
      await until(() => a.seen.records.length === 13, {
        withinMs: PATIENCE_MS,
        what: "the new record",
      });
      const last = a.seen.records.at(-1)!;
      assert.equal([last.partition, last.offset], [mine, 3]);
      assert.is(
        a.seen.records.filter(({ partition }) => partition === other).length,
        3,
      );
      assert.is(b.seen.records.length, 0);
    }));

  test("a handler that does not answer holds up neither a rebalance nor the end", () =>
    withFeeds(async (log, newFeed) => {
      await log.writer.append(
        log.data,
        PARTITIONS.flatMap((p) => numbered(1, p)),
      );
      const first = newFeed();
      let asked = 0;
      const joins: (readonly number[])[] = [];
      await first.start({
        assigned(_, partitions) {
          joins.push(partitions);
          for (const p of partitions) first.resume(p);
        },
        batch: () => {
          asked++;
          return new Promise(() => {});
        },
      });
      await until(() => asked > 0, { withinMs: PATIENCE_MS, what: "a batch" });
      const second = newFeed();
      const b = collector(second);
      await within(
        PATIENCE_MS,
        second.start(b.handler),
        "the second member to join",
      );
      await until(() => joins.length === 2, {
        withinMs: PATIENCE_MS,
        what: "the first to rejoin",
      });
      await until(() => b.seen.records.length >= 2, {
        withinMs: PATIENCE_MS,
        what: "the second's records",
      });
      await until(() => asked > 1, {
        withinMs: PATIENCE_MS,
        what: "a batch after the rebalance",
      });
      await within(PATIENCE_MS, first.stop(), "the first to stop");
      await until(() => b.seen.records.length >= 4, {
        withinMs: PATIENCE_MS,
        what: "all records",
      });
    }));

  return test;
}
