/** The Kafka adapter against a broker: the conformance suite, each test with topics and a group of its own. */
import { randomUUID } from "node:crypto";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createLaneFeed } from "../../src/adapters/kafka/lane-feed.js";
import { createTopics } from "../../src/adapters/kafka/topics.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { logConformance, type LogUnderTest } from "../conformance/log.js";
import { withServices } from "../support/services.js";

async function withKafkaLog(
  brokers: string,
  run: (log: LogUnderTest) => Promise<void>,
): Promise<void> {
  const id = randomUUID();
  const [commands, data] = [`${id}-commands`, `${id}-data`];
  const topics = [commands, data];
  const connection = connectLog({
    brokers: [brokers],
    clientId: "kafka-log-test",
    log: (level, message, fields) => {
      if (process.env["KAFKA_LOG"]) console.error(level, message, fields);
    },
  });
  const admin = connection.kafka.admin();
  const writer = createLogWriter(connection);
  const inspector = createLogInspector(connection);
  const feed = () =>
    createLaneFeed(connection, {
      groupId: id,
      topics,
      heartbeatMs: 200,
      sessionTimeoutMs: 6000,
    });
  await admin.connect();
  try {
    await createTopics(
      admin,
      topics.map((topic) => ({ topic, numPartitions: 4 })),
    );
    await run({
      writer,
      inspector,
      commands,
      data,
      feed,
      async committed(topic, partition) {
        const [offsets] = await admin.fetchOffsets({
          groupId: id,
          topics: [topic],
        });
        const at = offsets?.partitions.find((p) => p.partition === partition);
        return at && Number(at.offset) >= 0 ? Number(at.offset) : null;
      },
      async truncate(topic, partition, before) {
        // kafkajs looks for the leader in metadata that it has not asked for yet; this asks.
        await admin.fetchTopicOffsets(topic);
        const partitions = [{ partition, offset: String(before) }];
        await admin.deleteTopicRecords({ topic, partitions });
      },
    });
    await admin.deleteTopics({ topics });
  } finally {
    await writer.close();
    await inspector.close();
    await admin.disconnect();
  }
}

logConformance("log over Kafka", (run) =>
  withServices(["kafka"], (env) => withKafkaLog(env["KAFKA_BROKERS"]!, run)),
).run();
