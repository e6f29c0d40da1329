/** MQTT to the log on real services: whatever dies in between, what a device was told is safe lies on the log. */
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HEADER } from "../../src/domain/message.js";
import type { TelemetryEvent } from "../../src/ports.js";
import { startMqttFleet } from "../support/mqtt-fleet.js";
import { startMqttProxy } from "../support/mqtt-proxy.js";
import { forkRealBridge, startRealBridge } from "../support/real-bridge.js";
import { withOwnStack, withServices } from "../support/services.js";
import { until, within } from "../support/wait.js";
import {
  assertKept,
  byDevice,
  patience,
  payloadText,
  untilOnLog,
  withTopic,
} from "./bridge-ground.js";

const test = suite("bridge on real services");
const quiet = { emit: () => undefined };

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
