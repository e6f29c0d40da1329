/** A topic of the test's own, and what is on it. */
import { randomUUID } from "node:crypto";
import { type Admin, Kafka, logLevel } from "kafkajs";
import mqtt from "mqtt";
import * as assert from "uvu/assert";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import type { LogRecord } from "../../src/domain/message.js";
import type { MqttFleet } from "../support/mqtt-fleet.js";
import type { RealBridgeSettings } from "../support/real-bridge.js";
import type { ServiceEnv } from "../support/services.js";
import { until } from "../support/wait.js";

const PARTITIONS = 4;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
export const patience = { withinMs: 30_000 };

export interface Ground {
  /** Starts every device id, client id and topic of this test. */
  readonly run: string;
  readonly bridge: RealBridgeSettings;
  /** All of the test's topic, partition by partition, in order. */
  readonly readLog: () => Promise<LogRecord[]>;
}

export async function withTopic(
  env: ServiceEnv,
  use: (ground: Ground) => Promise<void>,
): Promise<void> {
  const { KAFKA_BROKERS: brokers = "", MQTT_URL: mqttUrl = "" } = env;
  const run = `t${randomUUID().slice(0, 8)}`;
  const topic = `bridge-${run}`;
  const kafka = new Kafka({
    brokers: brokers.split(","),
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  await admin.connect();
  const inspector = createLogInspector(
    connectLog({
      brokers: brokers.split(","),
      clientId: run,
      log: () => undefined,
    }),
  );
  const clientId = `${run}-bridge`;
  try {
    await makeTopic(admin, topic);
    await use({
      run,
      bridge: {
        mqttUrl,
        brokers,
        topic,
        clientId,
        // A wildcard takes a whole level: the devices of other tests come too, and are left out below.
        filters: ["devices/+/data"],
      },
      async readLog() {
        const records: LogRecord[] = [];
        const bounds = await inspector.bounds(topic);
        for (const [partition, { low, high }] of bounds.entries())
          await inspector.read(
            { topic, partition, from: low, to: high },
            async (some) => {
              records.push(
                ...some.filter(({ key }) => String(key).startsWith(run)),
              );
            },
            AbortSignal.timeout(60_000),
          );
        return records;
      },
    });
  } finally {
    await inspector.close();
    await admin.deleteTopics({ topics: [topic] });
    await admin.disconnect();
    const last = await mqtt.connectAsync(mqttUrl, { clientId, clean: true });
    await last.endAsync();
  }
}

/** A broker under load answers for a while that it has no such topic, which kafkajs' own wait takes for an error. */
async function makeTopic(admin: Admin, topic: string): Promise<void> {
  await admin.createTopics({
    waitForLeaders: false,
    topics: [
      {
        topic,
        numPartitions: PARTITIONS,
        configEntries: [
          { name: "max.message.bytes", value: String(MAX_MESSAGE_BYTES) },
        ],
      },
    ],
  });
  await until(
    async () => {
      const { topics } = await admin
        .fetchTopicMetadata({ topics: [topic] })
        .catch(() => ({ topics: [] }));
      const partitions = topics[0]?.partitions ?? [];
      return (
        partitions.length === PARTITIONS &&
        partitions.every(({ leader }) => leader >= 0)
      );
    },
    { ...patience, what: `leaders of ${topic}` },
  );
}

/** The device's text as it stands in the envelope. */
export function payloadText({ value }: LogRecord): string {
  const text = String(value);
  const from = text.indexOf('"payload":') + '"payload":'.length;
  return text.slice(from, text.lastIndexOf(',"timestamp":'));
}

export function byDevice(records: readonly LogRecord[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  for (const record of records) {
    const device = String(record.key);
    texts.set(device, [...(texts.get(device) ?? []), payloadText(record)]);
  }
  return texts;
}

/** Every acknowledged message lies on the log, and the first appearances of a device's messages are in their order. */
export function assertKept(
  fleet: MqttFleet,
  records: readonly LogRecord[],
): void {
  const log = byDevice(records);
  for (const [device, sent] of fleet.ledger) {
    const first = [...new Set(log.get(device))];
    assert.equal(
      first.filter((text) => sent.includes(text)).length,
      sent.length,
      `messages of ${device}`,
    );
    const numbers = first.map((text) => (JSON.parse(text) as { n: number }).n);
    assert.equal(
      numbers,
      numbers.toSorted((a, b) => a - b),
      `order of ${device}`,
    );
  }
}

/** Reads the log until it holds so many different messages. */
export function untilOnLog(
  readLog: () => Promise<LogRecord[]>,
  count: number,
): Promise<LogRecord[]> {
  return until(
    async () => {
      const records = await readLog();
      const distinct = new Set(records.map(payloadText)).size;
      return distinct >= count && records;
    },
    { ...patience, what: `${count} messages on the log` },
  );
}
