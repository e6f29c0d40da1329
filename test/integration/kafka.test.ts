/** What the Kafka adapter does beyond the port: codecs, sizes, transactions of others, an idle connection, failures. */
import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import kafkajs from "kafkajs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { UNDECODABLE } from "../../src/adapters/kafka/codecs.js";
import {
  connectLog,
  type LogConnection,
} from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createLaneFeed } from "../../src/adapters/kafka/lane-feed.js";
import { createTopics, ensureTopics } from "../../src/adapters/kafka/topics.js";
import { TOPIC } from "../../src/domain/names.js";
import {
  createLogWriter,
  type RefusedRecord,
} from "../../src/adapters/kafka/writer.js";
import type { LogRecord } from "../../src/domain/message.js";
import { TwinstreamError } from "../../src/errors.js";
import type { LaneFeed, LogInspector, LogWriter } from "../../src/ports.js";
import { withOwnStack, withServices } from "../support/services.js";
import { until } from "../support/wait.js";

interface Bench {
  readonly brokers: string;
  readonly connection: LogConnection;
  readonly writer: LogWriter;
  readonly inspector: LogInspector;
  /** A topic of this test, of one partition. */
  readonly topic: string;
  readonly feed: (onCrash?: (error: Error) => void) => LaneFeed;
  readonly read: () => Promise<LogRecord[]>;
}

/** A topic and clients for one test; all of them end with it. */
async function withBench(
  brokers: string,
  run: (bench: Bench) => Promise<void>,
): Promise<void> {
  const topic = randomUUID();
  const connection = connectLog({
    brokers: [brokers],
    clientId: "kafka-test",
    log: () => undefined,
  });
  const writer = createLogWriter(connection);
  const inspector = createLogInspector(connection);
  const feeds: LaneFeed[] = [];
  const admin = connection.kafka.admin();
  await admin.connect();
  try {
    await createTopics(admin, [
      {
        topic,
        numPartitions: 1,
        configEntries: [{ name: "max.message.bytes", value: "1048588" }],
      },
    ]);
    await run({
      brokers,
      connection,
      writer,
      inspector,
      topic,
      feed(onCrash) {
        const feed = createLaneFeed(connection, {
          groupId: topic,
          topics: [topic],
          heartbeatMs: 200,
          sessionTimeoutMs: 6000,
          ...(onCrash && { onCrash }),
        });
        feeds.push(feed);
        return feed;
      },
      async read() {
        const found: LogRecord[] = [];
        await inspector.read(
          { topic, partition: 0, from: 0, to: Number.MAX_SAFE_INTEGER },
          async (records) => {
            found.push(...records);
          },
          new AbortController().signal,
        );
        return found;
      },
    });
    await admin.deleteTopics({ topics: [topic] });
  } finally {
    for (const feed of feeds) await feed.stop();
    await writer.close();
    await inspector.close();
    await admin.disconnect();
  }
}

const withKafka = (run: (bench: Bench) => Promise<void>) => () =>
  withServices(["kafka"], (env) => withBench(env["KAFKA_BROKERS"]!, run));

/** Collects from partition 0 until stopped. */
async function follow(feed: LaneFeed): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  await feed.start({
    assigned: (_, partitions) => {
      for (const partition of partitions) feed.resume(partition);
    },
    batch: async (_topic, _partition, batch) => {
      records.push(...batch);
      return true;
    },
  });
  return records;
}
const texts = (records: readonly LogRecord[]) =>
  records.map(({ value }) => String(value));
const value = (text: string) => ({ key: "k", value: Buffer.from(text) });

const kafka = suite("Kafka adapter");

kafka(
  "reads at the same time leave no connection behind once their reader is closed",
  withKafka(async ({ connection, writer, topic }) => {
    await writer.append(topic, [value("a"), value("b")]);
    const sockets = () =>
      process.getActiveResourcesInfo().filter((it) => it === "TCPSocketWrap")
        .length;
    const before = sockets();
    const inspector = createLogInspector(connection);
    const found: string[] = [];
    const { signal } = new AbortController();
    const range = { topic, partition: 0, from: 0, to: 2 };
    await Promise.all(
      Array.from({ length: 4 }, () =>
        inspector.read(
          range,
          async (records) => void found.push(...texts(records)),
          signal,
        ),
      ),
    );
    assert.equal(found.join(""), "abababab");
    await inspector.close();
    await until(() => sockets() <= before, {
      withinMs: 5000,
      what: "the reader's connections to be closed",
    });
  }),
);

for (const codec of ["gzip", "snappy", "lz4", "zstd"])
  kafka(
    `records that librdkafka compressed with ${codec} are read`,
    withKafka(async ({ brokers, topic, read, feed }) => {
      if (!(await hasProgram("kcat"))) {
        console.log(`skipped: ${codec} by librdkafka, there is no kcat`);
        return;
      }
      const lines = Array.from({ length: 500 }, (_, i) => `${codec} ${i}`);
      const args = ["-b", brokers, "-t", topic, "-P", "-z", codec];
      const kcat = spawn("kcat", args, {
        stdio: ["pipe", "ignore", "inherit"],
      });
      kcat.stdin.end(lines.join("\n"));
      const [code] = (await once(kcat, "close")) as [number];
      assert.is(code, 0);
      assert.equal(texts(await read()), lines);
      const records = await follow(feed());
      await until(() => records.length === 500, {
        withinMs: 20_000,
        what: "500 records",
      });
      assert.equal(texts(records), lines);
    }),
  );

const { GZIP, LZ4, Snappy } = kafkajs.CompressionTypes;
kafka(
  "records that kafkajs compressed with gzip, snappy or lz4 are read",
  withKafka(async ({ connection, topic, read }) => {
    const producer = connection.kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    for (const compression of [GZIP, Snappy, LZ4])
      await producer.send({
        topic,
        compression,
        messages: [value(`a${compression}`), value(`b${compression}`)],
      });
    await producer.disconnect();
    assert.equal(texts(await read()), ["a1", "b1", "a2", "b2", "a3", "b3"]);
  }),
);

kafka(
  "a compressed batch that unfolds without bound becomes records without value, and stops nothing",
  withKafka(async ({ connection, topic, writer, read, feed }) => {
    const producer = connection.kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    const bomb = { key: "bomb", value: Buffer.alloc(70 * 1024 * 1024) };
    await producer.send({
      topic,
      compression: GZIP,
      messages: [value("beside it"), bomb],
    });
    await producer.disconnect();
    await writer.append(topic, [value("after it")]);
    const records = await follow(feed());
    await until(() => records.length === 3, {
      withinMs: 20_000,
      what: "3 records",
    });
    for (const found of [records, await read()]) {
      assert.equal(
        found.map(({ offset }) => offset),
        [0, 1, 2],
      );
      for (const { value: none, headers } of found.slice(0, 2)) {
        assert.is(none, null);
        assert.match(headers[UNDECODABLE]!, /larger than/);
      }
      assert.is(String(found[2]!.value), "after it");
    }
  }),
);

kafka(
  "a record that the topic does not take is named, and those before it are written",
  withKafka(async ({ writer, topic, read }) => {
    const large = { key: "large", value: Buffer.alloc(2 * 1024 * 1024) };
    const startedMs = Date.now();
    try {
      await writer.append(topic, [value("a"), large, value("b")]);
      assert.unreachable();
    } catch (error) {
      assert.instance(error, TwinstreamError);
      const { code, cause, canRetry } = error as TwinstreamError;
      assert.is(code, "TOO_LARGE");
      assert.is(canRetry, false);
      assert.is((cause as RefusedRecord).index, 1);
    }
    assert.ok(Date.now() - startedMs < 2000, "it was not tried again");
    await writer.append(topic, [value("c")]);
    assert.equal(texts(await read()), ["a", "c"]);
  }),
);

kafka(
  "a record larger than a fetch is fetched, by a member and by a reader, and so are those beside it",
  withKafka(async ({ connection, writer, inspector }) => {
    const topic = randomUUID();
    const admin = connection.kafka.admin();
    await admin.connect();
    const configEntries = [{ name: "max.message.bytes", value: "4194304" }];
    await createTopics(admin, [{ topic, numPartitions: 3, configEntries }]);
    const large = Buffer.alloc(3_900_000, "x");
    const records = [0, 1, 2].flatMap((partition) => [
      { ...value("a"), partition },
      { key: "k", value: large, partition },
      { ...value("b"), partition },
    ]);
    await writer.append(topic, records);
    const lengths = [1, large.length, 1];
    const feed = createLaneFeed(connection, {
      groupId: topic,
      topics: [topic],
    });
    try {
      const found = await follow(feed);
      await until(async () => found.length === 9, {
        withinMs: 30_000,
        what: "all records of all partitions",
      });
      for (const one of [0, 1, 2])
        assert.equal(
          found
            .filter(({ partition }) => partition === one)
            .map((record) => record.value!.length),
          lengths,
        );
    } finally {
      await feed.stop();
    }
    const read: number[] = [];
    await inspector.read(
      { topic, partition: 1, from: 0, to: 3 },
      async (batch) => {
        read.push(...batch.map((record) => record.value!.length));
      },
      new AbortController().signal,
    );
    assert.equal(read, lengths);
    await admin.deleteTopics({ topics: [topic] });
    await admin.disconnect();
  }),
);

kafka(
  "what a transaction aborted is not read, and its markers at the end hold up no reader",
  withKafka(async ({ connection, topic, read, feed }) => {
    const producer = connection.ownClient().producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      transactionalId: topic,
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    for (const outcome of ["commit", "abort"] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic, messages: [value(outcome)] });
      await transaction[outcome]();
    }
    await producer.disconnect();
    assert.equal(texts(await read()), ["commit"]);
    const records = await follow(feed());
    await until(() => records.length === 1, {
      withinMs: 20_000,
      what: "the committed record",
    });
    assert.equal(texts(records), ["commit"]);
  }),
);

kafka(
  "a handler that throws what it must not is asked again, and the consumer lives",
  withKafka(async ({ writer, topic, feed: newFeed }) => {
    await writer.append(topic, [value("a")]);
    let crashed = false;
    const feed = newFeed(() => {
      crashed = true;
    });
    let asked = 0;
    await feed.start({
      assigned: () => feed.resume(0),
      batch: async () => {
        if (++asked < 3) throw new TypeError("a mistake");
        return true;
      },
    });
    await until(() => asked === 3, { withinMs: 20_000, what: "three tries" });
    assert.is(crashed, false);
    assert.is(feed.health().crashed, null);
    assert.is(feed.health().running, true);
    assert.ok(Date.now() - feed.health().lastFetchMs < 5000);
  }),
);

kafka(
  "idle connections wake nothing up",
  withKafka(async ({ writer, topic, inspector }) => {
    await writer.append(topic, [value("a")]);
    await inspector.clusterId();
    const { setTimeout: original } = globalThis;
    let hasty = 0;
    const counting = (run: () => void, delayMs?: number) => {
      if (!(delayMs !== undefined && delayMs > 1)) hasty++;
      return original(run, delayMs);
    };
    globalThis.setTimeout = Object.assign(counting, original);
    try {
      // A span to count in, not a wait for something: kafkajs unrepaired makes some 400 such timers in it.
      await pause(500);
    } finally {
      globalThis.setTimeout = original;
    }
    assert.ok(hasty < 10, `${hasty} timers`);
  }),
);

kafka("a log that does not answer is told as such", async () => {
  const connection = connectLog({
    brokers: ["127.0.0.1:1"],
    clientId: "kafka-test",
    log: () => undefined,
    connectTimeoutMs: 200,
  });
  const writer = createLogWriter(connection);
  const inspector = createLogInspector(connection);
  const feed = createLaneFeed(connection, { groupId: "g", topics: ["t"] });
  const idle = { assigned: () => {}, batch: async () => true };
  const tries = [
    writer.append("t", [value("a")]),
    inspector.clusterId(),
    feed.start(idle),
    ensureTopics(connection, { partitions: 1, replication: 1 }),
  ];
  for (const outcome of await Promise.allSettled(tries)) {
    assert.is(outcome.status, "rejected");
    const { reason } = outcome as PromiseRejectedResult;
    assert.is((reason as TwinstreamError).code, "LOG_UNREACHABLE");
  }
  await writer.close();
  await inspector.close();
});

kafka.run();

const alone = suite("Kafka adapter, on a broker of its own");

alone("topics are made once, by however many, and checked", () =>
  withOwnStack(["kafka"], async ({ env }) => {
    await withBench(
      env["KAFKA_BROKERS"]!,
      async ({ connection, inspector }) => {
        const settings = { partitions: 5, replication: 1 };
        const admin = connection.kafka.admin();
        await admin.connect();
        const made = await Promise.all([
          ensureTopics(connection, settings),
          ensureTopics(connection, settings),
          ensureTopics(connection, settings),
        ]);
        assert.ok(made.every(({ partitions }) => partitions === 5));
        const again = await ensureTopics(connection, {
          ...settings,
          partitions: 7,
        });
        assert.equal(again, { created: [], partitions: 5 });
        assert.is((await inspector.bounds(TOPIC.commands)).length, 5);
        assert.is((await inspector.bounds(TOPIC.uploadDeadLetters)).length, 3);
        const { resources } = await admin.describeConfigs({
          includeSynonyms: false,
          resources: [
            {
              type: kafkajs.ConfigResourceTypes.TOPIC,
              name: TOPIC.dataDeadLetters,
            },
          ],
        });
        const config = new Map(
          resources[0]!.configEntries.map((e) => [e.configName, e.configValue]),
        );
        assert.is(config.get("retention.ms"), String(14 * 86_400_000));
        assert.is(config.get("max.message.bytes"), String(5 * 1024 * 1024));

        await admin.createPartitions({
          topicPartitions: [{ topic: TOPIC.data, count: 6 }],
        });
        await until(
          async () =>
            (await inspector.bounds(TOPIC.data).catch(() => [])).length === 6,
          { withinMs: 20_000, what: "6 partitions" },
        );
        try {
          await ensureTopics(connection, settings);
          assert.unreachable();
        } catch (error) {
          assert.is((error as TwinstreamError).code, "CONFIG_INVALID");
          assert.match(
            (error as TwinstreamError).message,
            /6 partitions and device-commands 5/,
          );
        }
        await admin.disconnect();
      },
    );
  }),
);

alone(
  "after a broker was killed and started again, feed, writer and reader go on",
  () =>
    withOwnStack(["kafka"], async ({ env, services }) => {
      await withBench(env["KAFKA_BROKERS"]!, async (bench) => {
        const { writer, topic, read } = bench;
        let crashed: Error | null = null;
        const feed = bench.feed((error) => {
          crashed = error;
        });
        const records = await follow(feed);
        await writer.append(topic, [value("before")]);
        assert.equal(texts(await read()), ["before"]);
        await until(() => records.length === 1, {
          withinMs: 20_000,
          what: "the first record",
        });
        await services.kafka.kill("SIGKILL");
        const during = persist(() => writer.append(topic, [value("during")]));
        await services.kafka.start();
        await during;
        await persist(() => writer.append(topic, [value("after")]));
        // Where an answer was lost, a record may be there twice; none is missing, and none overtook another.
        await until(() => records.at(-1)?.value?.toString() === "after", {
          withinMs: 60_000,
          what: "the last record",
        });
        const once = (all: string[]) =>
          all.filter((text, i) => text !== all[i - 1]);
        assert.equal(once(texts(await read())), ["before", "during", "after"]);
        const since = texts(records).lastIndexOf("before");
        assert.equal(once(texts(records).slice(since)), [
          "before",
          "during",
          "after",
        ]);
        assert.is(crashed, null);
        await until(() => feed.health().running, {
          withinMs: 20_000,
          what: "a running feed",
        });
      });
    }),
);

alone.run();

/** Repeats what may be repeated, as every caller of the log does. */
async function persist(attempt: () => Promise<void>): Promise<void> {
  await until(
    () =>
      attempt().then(
        () => true,
        (error: TwinstreamError) => {
          if (error.canRetry) return false;
          throw error;
        },
      ),
    { withinMs: 60_000, what: "the log to answer" },
  );
}

async function hasProgram(name: string): Promise<boolean> {
  try {
    await promisify(execFile)(name, ["-V"]);
    return true;
  } catch {
    return false;
  }
}
