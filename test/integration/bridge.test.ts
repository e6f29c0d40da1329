/** MQTT to the log on real services: whatever dies in between, what a device was told is safe lies on the log. */
import { randomUUID } from "node:crypto";
import mqtt from "mqtt";
import { Kafka, logLevel } from "kafkajs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { HEADER, type LogRecord } from "../../src/domain/message.js";
import type { TelemetryEvent } from "../../src/ports.js";
import { type MqttFleet, startMqttFleet } from "../support/mqtt-fleet.js";
import { startMqttProxy } from "../support/mqtt-proxy.js";
import {
  type RealBridgeSettings,
  forkRealBridge,
  startRealBridge,
} from "../support/real-bridge.js";
import {
  type ServiceEnv,
  withOwnStack,
  withServices,
} from "../support/services.js";
import { until, within } from "../support/wait.js";

const test = suite("bridge on real services");
const PARTITIONS = 4;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const patience = { withinMs: 30_000 };
const quiet = { emit: () => undefined };

interface Ground {
  /** Starts every device id, client id and topic of this test. */
  readonly run: string;
  readonly bridge: RealBridgeSettings;
  /** All of the test's topic, partition by partition, in order. */
  readonly readLog: () => Promise<LogRecord[]>;
}

async function withTopic(
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
  await admin.createTopics({
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
  const inspector = createLogInspector(
    connectLog({
      brokers: brokers.split(","),
      clientId: run,
      log: () => undefined,
    }),
  );
  const clientId = `${run}-bridge`;
  try {
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

/** The device's text as it stands in the envelope. */
function payloadText({ value }: LogRecord): string {
  const text = String(value);
  const from = text.indexOf('"payload":') + '"payload":'.length;
  return text.slice(from, text.lastIndexOf(',"timestamp":'));
}

function byDevice(records: readonly LogRecord[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  for (const record of records) {
    const device = String(record.key);
    texts.set(device, [...(texts.get(device) ?? []), payloadText(record)]);
  }
  return texts;
}

/** Every acknowledged message lies on the log, and the first appearances of a device's messages are in their order. */
function assertKept(fleet: MqttFleet, records: readonly LogRecord[]): void {
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
function untilOnLog(
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

test("20,000 messages of 40 devices lie on the log once each, as they were sent, in each device's order", () =>
  withServices(["kafka", "mqtt"], (env) =>
    withTopic(env, async ({ run, bridge, readLog }) => {
      const events: TelemetryEvent[] = [];
      const running = await startRealBridge(bridge, {
        emit: (event) => events.push(event),
      });
      const fleet = await startMqttFleet(bridge.mqttUrl, { prefix: run });
      try {
        await fleet.publish(20_000);
        const records = await untilOnLog(readLog, 20_000);
        assert.is(records.length, 20_000);
        const onLog = byDevice(records);
        assert.is(onLog.size, fleet.ledger.size);
        for (const [device, sent] of fleet.ledger)
          assert.equal(onLog.get(device), sent, device);
        assert.ok(records.every(({ headers }) => headers[HEADER.packet]));
        assert.ok(events.length < 4000, `${events.length} events`);
        assert.is(await running.stop(5000), 0);
      } finally {
        await running.stop(0);
        await fleet.close();
      }
    }),
  ));

test("payloads arrive byte by byte: JSON however written, other text, not UTF-8, empty, 2 MB", () =>
  withServices(["kafka", "mqtt"], (env) =>
    withTopic(env, async ({ run, bridge, readLog }) => {
      const running = await startRealBridge(bridge, quiet);
      const peer = await mqtt.connectAsync(bridge.mqttUrl, {
        clientId: `${run}-peer`,
      });
      const json = [
        '{ "a" : 1e400, "b":12345678901234567890.10,\n "c":"\\u00e9é" }',
        '{"__proto__":{"x":1},"a":1,"a":2}',
        "[1,2]",
        `{"big":"${"ä".repeat(1_000_000)}"}`,
      ].map((text) => Buffer.from(text));
      const other = [
        Buffer.from("23.5 °C"),
        Buffer.alloc(0),
        Buffer.from([0xff, 0xfe, 0, 0xc3, 0x28]),
        Buffer.alloc(2_000_000, 0xa7),
      ];
      try {
        for (const payload of [...json, ...other])
          await peer.publishAsync(`devices/${run}/data`, payload, { qos: 1 });
        const records = await until(
          async () => {
            const some = await readLog();
            return some.length === 8 && some;
          },
          { ...patience, what: "8 records" },
        );
        for (const [i, payload] of json.entries())
          assert.ok(
            records[i]?.value?.includes(
              Buffer.concat([Buffer.from('"payload":'), payload]),
            ),
            `JSON payload ${i}`,
          );
        for (const [i, payload] of other.entries()) {
          const envelope = JSON.parse(String(records[4 + i]?.value)) as {
            payload_base64: string;
          };
          assert.ok(
            Buffer.from(envelope.payload_base64, "base64").equals(payload),
            `other payload ${i}`,
          );
        }
      } finally {
        await running.stop(5000);
        await peer.endAsync();
      }
    }),
  ));

test("a bridge killed in the middle of its window, twice, loses nothing that a device was told is safe", () =>
  withServices(["kafka", "mqtt"], (env) =>
    withTopic(env, async ({ run, bridge, readLog }) => {
      const fleet = await startMqttFleet(bridge.mqttUrl, { prefix: run });
      let child = await forkRealBridge(bridge);
      try {
        const publishing = fleet.publish(20_000);
        for (const share of [5000, 12_000]) {
          await until(() => fleet.acknowledged() > share, {
            ...patience,
            what: `${share} publishes`,
          });
          child.kill("SIGKILL");
          child = await forkRealBridge(bridge);
        }
        await within(30_000, publishing, "20,000 publishes");
        const records = await untilOnLog(readLog, 20_000);
        assertKept(fleet, records);
        const again = records.filter(({ headers }) => headers[HEADER.dup]);
        assert.ok(again.length > 0, "the kills hit a window: redeliveries");
      } finally {
        child.kill("SIGKILL");
        await fleet.close();
      }
    }),
  ));

test("what was published while the bridge was away waits for it at the broker", () =>
  withServices(["kafka", "mqtt"], (env) =>
    withTopic(env, async ({ run, bridge, readLog }) => {
      const before = await startRealBridge(bridge, quiet);
      assert.is(await before.stop(5000), 0);
      const fleet = await startMqttFleet(bridge.mqttUrl, { prefix: run });
      try {
        await fleet.publish(5000);
        assert.equal(await readLog(), []);
        const running = await startRealBridge(bridge, quiet);
        try {
          const records = await untilOnLog(readLog, 5000);
          assert.is(records.length, 5000);
          assertKept(fleet, records);
        } finally {
          await running.stop(5000);
        }
      } finally {
        await fleet.close();
      }
    }),
  ));

test("while the log is down PUBACKs are withheld and the window stays full; then everything goes through", () =>
  withOwnStack(["kafka", "mqtt"], ({ env, services }) =>
    withTopic(env, async ({ run, bridge, readLog }) => {
      const proxy = await startMqttProxy(bridge.mqttUrl);
      const events: TelemetryEvent[] = [];
      const window = 500;
      const running = await startRealBridge(
        { ...bridge, mqttUrl: proxy.url, window },
        { emit: (event) => events.push(event) },
      );
      const fleet = await startMqttFleet(bridge.mqttUrl, { prefix: run });
      try {
        await fleet.publish(1000);
        await untilOnLog(readLog, 1000);
        await until(() => proxy.pubacks.length === 1000, {
          ...patience,
          what: "1000 PUBACKs",
        });
        await services.kafka.kill();
        await fleet.publish(4000);
        await until(
          () => events.some(({ type }) => type === "bridge_waiting"),
          { ...patience, what: "the bridge to notice" },
        );
        const lastWindow = events.findLast(
          (event) => event.type === "bridge_window",
        );
        assert.is(lastWindow?.messages, window);
        assert.is(lastWindow?.held, true);
        assert.is(proxy.pubacks.length, 1000);
        await services.kafka.start();
        const records = await untilOnLog(readLog, 5000);
        assertKept(fleet, records);
        await until(() => proxy.pubacks.length >= 5000, {
          ...patience,
          what: "the other PUBACKs",
        });
      } finally {
        await running.stop(0);
        await fleet.close();
        await proxy.close();
      }
    }),
  ));

test("a broker that is stopped and started again under load loses nothing", () =>
  withOwnStack(["kafka", "mqtt"], ({ env, services }) =>
    withTopic(env, async ({ run, bridge, readLog }) => {
      const running = await startRealBridge(bridge, quiet);
      const fleet = await startMqttFleet(bridge.mqttUrl, { prefix: run });
      try {
        const publishing = fleet.publish(10_000);
        await until(() => fleet.acknowledged() > 3000, {
          ...patience,
          what: "3,000 publishes",
        });
        await services.mqtt.stop();
        await services.mqtt.start();
        await within(30_000, publishing, "10,000 publishes");
        const records = await untilOnLog(readLog, 10_000);
        const onLog = new Set(records.map(payloadText));
        for (const sent of fleet.ledger.values())
          for (const text of sent) assert.ok(onLog.has(text), text);
        assert.is(await running.stop(5000), 0);
      } finally {
        await running.stop(0);
        await fleet.close();
      }
    }),
  ));

test.run();
