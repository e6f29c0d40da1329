/** Connections to the log over which nothing comes any more, though nobody said that they ended. */
import { randomUUID } from "node:crypto";
import { suite } from "uvu";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { startKafkaProxy } from "../support/kafka-proxy.js";
import { withServices } from "../support/services.js";
import { until, within } from "../support/wait.js";

const test = suite("a silent log");

test("writer and inspector leave a half-open connection once a request has got no answer, and go on by a new one", () =>
  withServices(["kafka"], async ({ KAFKA_BROKERS: brokers = "" }) => {
    const proxy = await startKafkaProxy(brokers);
    const at = (address: string) =>
      connectLog({
        brokers: [address],
        clientId: "silent",
        log: () => undefined,
        requestTimeoutMs: 1000,
      });
    const topic = `silent-${randomUUID()}`;
    const admin = at(brokers).kafka.admin();
    await admin.connect();
    const connection = at(proxy.url);
    const writer = createLogWriter(connection);
    const inspector = createLogInspector(connection);
    const append = () =>
      writer.append(topic, [{ key: "k", value: Buffer.from("v") }]);
    const goesThrough = (work: () => Promise<unknown>) => () =>
      work().then(
        () => true,
        () => false,
      );
    try {
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
      for (const work of [append, () => inspector.bounds(topic)])
        await until(goesThrough(work), {
          withinMs: 20_000,
          what: "the topic",
        });
      proxy.abandon();
      for (const [what, work] of [
        ["an append", append],
        ["a question", () => inspector.bounds(topic)],
      ] as const)
        await until(goesThrough(work), {
          withinMs: 40_000,
          what: `${what} by a new connection`,
        });
    } finally {
      await within(
        20_000,
        Promise.all([writer.close(), inspector.close()]),
        "writer and inspector to close",
      );
      await admin.deleteTopics({ topics: [topic] });
      await admin.disconnect();
      await proxy.close();
    }
  }));

test.run();
