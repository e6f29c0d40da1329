/** Both MQTT ports against a real mosquitto, and what only a real broker can show. */
import { randomUUID } from "node:crypto";
import { type AddressInfo, type Socket, createServer } from "node:net";
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  commandPayload,
  createCommandLink,
} from "../../src/adapters/mqtt/command-link.js";
import {
  createPacketSource,
  topicFilters,
} from "../../src/adapters/mqtt/packet-source.js";
import { TwinstreamError } from "../../src/errors.js";
import type { InboundPacket, TelemetryEvent } from "../../src/ports.js";
import {
  commandLinkSuite,
  packetSourceSuite,
  someCommand,
  someDevice,
} from "../conformance/mqtt-suites.js";
import { type MqttProxy, startMqttProxy } from "../support/mqtt-proxy.js";
import { withServices } from "../support/services.js";
import { until, within } from "../support/wait.js";

const patience = { withinMs: 10_000 };
const quiet = { emit: () => undefined };

/** A relay to the broker, a plain client, and a name of their own. */
async function withBroker(
  use: (ground: {
    proxy: MqttProxy;
    peer: mqtt.MqttClient;
    name: string;
  }) => Promise<void>,
): Promise<void> {
  await withServices(["mqtt"], async ({ MQTT_URL: url = "" }) => {
    const proxy = await startMqttProxy(url);
    const peer = await mqtt.connectAsync(url, {
      protocolVersion: 5,
      clientId: `peer-${randomUUID()}`,
    });
    try {
      await use({ proxy, peer, name: `d-${randomUUID().slice(0, 8)}` });
    } finally {
      await peer.endAsync();
      await proxy.close();
    }
  });
}

const sourceOn = (
  url: string,
  name: string,
  clientId: string,
  keepaliveSeconds = 30,
) =>
  createPacketSource({
    keepaliveSeconds,
    url,
    clientId,
    filters: [`devices/${name}/data`],
    qos: 1,
    receiveMaximum: 1000,
    clock: Date.now,
    observer: quiet,
  });

packetSourceSuite("mosquitto", (use) =>
  withBroker(async ({ proxy, peer, name }) => {
    const clientIds = new Set<string>();
    await use({
      name,
      source(clientId) {
        clientIds.add(clientId);
        return sourceOn(proxy.url, name, clientId);
      },
      async publish(payload, qos = 1) {
        await peer.publishAsync(`devices/${name}/data`, payload, { qos });
      },
      cut: proxy.hangUp,
    });
    // Sessions outlive their sources: end them.
    for (const clientId of clientIds) {
      const last = await mqtt.connectAsync(proxy.url, {
        clientId,
        clean: true,
      });
      await last.endAsync();
    }
  }),
);

commandLinkSuite("mosquitto", (use) =>
  withBroker(async ({ proxy, peer }) => {
    const link = createCommandLink({
      url: proxy.url,
      name: "test",
      prefix: "traksense",
      observer: quiet,
    });
    const inboxes = new Map<string, string[]>();
    peer.on("message", (topic, payload) => {
      const { cmd_id } = JSON.parse(payload.toString()) as { cmd_id: string };
      inboxes.get(topic)?.push(cmd_id);
    });
    try {
      await until(() => link.connected(), { ...patience, what: "connected" });
      await use({
        link,
        async listen({ deviceId }) {
          const topic = `devices/${deviceId}/commands`;
          const inbox: string[] = [];
          inboxes.set(topic, inbox);
          await peer.subscribeAsync(topic, { qos: 1 });
          return inbox;
        },
        async down() {
          proxy.shut();
          await until(() => !link.connected(), {
            ...patience,
            what: "disconnected",
          });
        },
        async up() {
          proxy.open();
        },
      });
    } finally {
      await link.close();
    }
  }),
);

const source = suite("packet source on the wire");

source(
  "not one PUBACK leaves before `acknowledge`, and then they leave in its order",
  () =>
    withBroker(async ({ proxy, peer, name }) => {
      const running = sourceOn(proxy.url, name, `wire-${name}`);
      const got: InboundPacket[] = [];
      try {
        await running.start((packet) => got.push(packet));
        for (let i = 0; i < 300; i += 1)
          await peer.publishAsync(`devices/${name}/data`, `${i}`, { qos: 1 });
        await until(() => got.length === 300, {
          ...patience,
          what: "300 packets",
        });
        assert.equal(proxy.pubacks, []);
        const ids = got.map(({ packetId }) => packetId);
        running.acknowledge(got.slice(0, 120));
        running.acknowledge(got.slice(120));
        await until(() => proxy.pubacks.length === 300, {
          ...patience,
          what: "300 PUBACKs",
        });
        assert.equal(proxy.pubacks, ids);
      } finally {
        await running.stop();
      }
    }),
);

source("held longer than the keepalive allows, the connection stays", () =>
  withBroker(async ({ proxy, peer, name }) => {
    const running = sourceOn(proxy.url, name, `held-${name}`, 1);
    const got: InboundPacket[] = [];
    try {
      await running.start((packet) => got.push(packet));
      running.hold();
      await peer.publishAsync(`devices/${name}/data`, "a", { qos: 1 });
      const before = proxy.pings();
      // Every half second: broker and client would have given up after three.
      await until(() => proxy.pings() >= before + 6, {
        ...patience,
        what: "pings",
      });
      assert.equal(got, []);
      running.release();
      await until(() => got.length === 1, { ...patience, what: "the packet" });
      assert.is(got[0]?.connection, 1);
      assert.not(got[0]?.dup);
    } finally {
      await running.stop();
    }
  }),
);

source("a hold outlasts a reconnect", () =>
  withBroker(async ({ proxy, peer, name }) => {
    const running = sourceOn(proxy.url, name, `cut-${name}`);
    const got: InboundPacket[] = [];
    try {
      await running.start((packet) => got.push(packet));
      running.hold();
      await peer.publishAsync(`devices/${name}/data`, "a", { qos: 1 });
      proxy.cut();
      await until(() => !running.connected(), { ...patience, what: "lost" });
      await until(() => running.connected(), { ...patience, what: "back" });
      assert.equal(got, []);
      running.release();
      await until(() => got.length === 1, { ...patience, what: "the packet" });
    } finally {
      await running.stop();
    }
  }),
);

source(
  "a source that starts before its broker subscribes once it is there",
  () =>
    withBroker(async ({ proxy, peer, name }) => {
      proxy.shut();
      const running = sourceOn(proxy.url, name, `early-${name}`);
      const got: InboundPacket[] = [];
      try {
        const started = running.start((packet) => got.push(packet));
        await until(() => !running.connected(), {
          ...patience,
          what: "no broker",
        });
        proxy.open();
        await within(10_000, started, "the subscription");
        await peer.publishAsync(`devices/${name}/data`, "x", { qos: 1 });
        await until(() => got.length === 1, {
          ...patience,
          what: "the packet",
        });
      } finally {
        await running.stop();
      }
    }),
);

source(
  "stopping before the subscription stands ends the start with an error",
  () =>
    withBroker(async ({ proxy, name }) => {
      proxy.shut();
      const running = sourceOn(proxy.url, name, `never-${name}`);
      const started = running
        .start(() => undefined)
        .then(
          () => null,
          (error: unknown) => error,
        );
      await within(5000, running.stop(), "the stop");
      const error = await within(1000, started, "the start to end");
      assert.ok(
        error instanceof TwinstreamError && error.code === "BROKER_UNREACHABLE",
      );
    }),
);

source("a held source with unread packets stops without delay", () =>
  withBroker(async ({ proxy, peer, name }) => {
    const running = sourceOn(proxy.url, name, `full-${name}`);
    try {
      await running.start(() => undefined);
      running.hold();
      for (let i = 0; i < 5; i += 1)
        await peer.publishAsync(`devices/${name}/data`, Buffer.alloc(500_000), {
          qos: 1,
        });
      await within(1000, running.stop(), "the stop");
    } finally {
      await running.stop();
    }
  }),
);

source("a source put out by another of its client id says so", async () => {
  // mosquitto 2.0 closes without a word; others send DISCONNECT with reason 142, as the specification has it.
  const server = createServer((socket: Socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () =>
      socket.end(Buffer.from([0x20, 3, 0, 0, 0, 0xe0, 2, 142, 0])),
    );
  });
  await new Promise<void>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve()),
  );
  const events: TelemetryEvent[] = [];
  const running = createPacketSource({
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clientId: "twin",
    filters: ["t"],
    qos: 1,
    receiveMaximum: 10,
    clock: Date.now,
    observer: { emit: (event) => events.push(event) },
  });
  const started = running.start(() => undefined).catch(() => undefined);
  try {
    await until(
      () =>
        events.some(
          (event) =>
            event.type === "mqtt_connection" &&
            event.detail.includes("another client connected as twin"),
        ),
      { ...patience, what: "the reason" },
    );
  } finally {
    await running.stop();
    await started;
    server.close();
  }
});

source("a broker that refuses MQTT 5 is spoken to in 3.1.1", async () => {
  const levels: number[] = [];
  const events: TelemetryEvent[] = [];
  const server = createServer((socket: Socket) => {
    // The client's reset at the end of the test.
    socket.on("error", () => undefined);
    socket.once("data", (connect) => {
      const level = connect[8] ?? 0;
      levels.push(level);
      // CONNACK: return code 1, unacceptable protocol version; else accepted.
      socket.write(Buffer.from([0x20, 2, 0, level === 5 ? 1 : 0]));
      if (level === 5) return socket.end();
      socket.on("data", (packet) => {
        if (packet[0] !== 0x82) return;
        // SUBACK of one filter, then one message of QoS 1 with packet id 9.
        socket.write(Buffer.from([0x90, 3, packet[2]!, packet[3]!, 1]));
        socket.write(Buffer.from([0x32, 6, 0, 1, 0x74, 0, 9, 0x78]));
      });
    });
  });
  await new Promise<void>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve()),
  );
  const running = createPacketSource({
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clientId: "old",
    filters: ["t"],
    qos: 1,
    receiveMaximum: 10,
    clock: Date.now,
    observer: { emit: (event) => events.push(event) },
  });
  const got: InboundPacket[] = [];
  try {
    await within(
      10_000,
      running.start((packet) => got.push(packet)),
      "the subscription",
    );
    await until(() => got.length === 1, { ...patience, what: "the packet" });
    assert.equal(levels, [5, 4]);
    assert.is(got[0]?.packetId, 9);
    assert.ok(
      events.some(
        (event) =>
          event.type === "mqtt_connection" && event.detail.includes("3.1.1"),
      ),
    );
  } finally {
    await running.stop();
    server.close();
  }
});

source(
  "filters have the prefix filled in and, in a share group, its form",
  () => {
    assert.equal(topicFilters("devices/+/data, {prefix}/+/+/+/telem", "acme"), [
      "devices/+/data",
      "acme/+/+/+/telem",
    ]);
    assert.equal(topicFilters("devices/+/data", "acme", "g"), [
      "$share/g/devices/+/data",
    ]);
  },
);

source("a broker's URL that is none is said at once", () => {
  const bad = sourceOn("kafka://127.0.0.1:1", "d", "c");
  return bad
    .start(() => undefined)
    .then(
      () => assert.unreachable(),
      (error: unknown) => {
        assert.ok(
          error instanceof TwinstreamError && error.code === "CONFIG_INVALID",
        );
      },
    );
});

source.run();

const link = suite("command link on the wire");

link("a command carries what the contracts say, and expires with it", () =>
  withBroker(async ({ proxy, peer }) => {
    const device = {
      ...someDevice(),
      tenant: "acme",
      site: "hq",
    };
    const topic = `traksense/acme/hq/${device.deviceId}/cmd`;
    await peer.subscribeAsync(topic, { qos: 1 });
    const received = new Promise<[Buffer, mqtt.IPublishPacket]>((resolve) =>
      peer.once("message", (_, payload, packet) => resolve([payload, packet])),
    );
    const running = createCommandLink({
      url: proxy.url,
      name: "test",
      prefix: "traksense",
      observer: quiet,
    });
    try {
      await until(() => running.connected(), {
        ...patience,
        what: "connected",
      });
      const now = Date.now();
      const command = someCommand(now, { command: "reset_fault", op: "other" });
      assert.is(await running.send(device, command, now), "delivered");
      const [payload, packet] = await within(5000, received, "the command");
      assert.equal(JSON.parse(payload.toString()), {
        schema: "v1",
        cmd_id: command.cmdId,
        op: "reset_fault",
        params: { code: 7 },
        by: "ana",
        ts: new Date(now).toISOString(),
        expires_at: new Date(now + 60_000).toISOString(),
        command: "reset_fault",
      });
      assert.is(payload.toString(), commandPayload(command));
      assert.is(packet.qos, 1);
      assert.is(packet.properties?.messageExpiryInterval, 60);
    } finally {
      await running.close();
    }
  }),
);

link("a device that is away but has a session counts as a subscriber", () =>
  withBroker(async ({ proxy }) => {
    const device = someDevice();
    const away = await mqtt.connectAsync(proxy.url, {
      protocolVersion: 5,
      clientId: device.deviceId,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    });
    await away.subscribeAsync(`devices/${device.deviceId}/commands`, {
      qos: 1,
    });
    await away.endAsync();
    const running = createCommandLink({
      url: proxy.url,
      name: "test",
      prefix: "traksense",
      observer: quiet,
    });
    try {
      await until(() => running.connected(), {
        ...patience,
        what: "connected",
      });
      const now = Date.now();
      assert.is(await running.send(device, someCommand(now), now), "delivered");
    } finally {
      await running.close();
      const last = await mqtt.connectAsync(proxy.url, {
        clientId: device.deviceId,
        clean: true,
      });
      await last.endAsync();
    }
  }),
);

link(
  "a command under way when the connection breaks is refused, and never sent again",
  () =>
    withBroker(async ({ proxy, peer }) => {
      const device = someDevice();
      const seen: string[] = [];
      peer.on("message", (_, payload) => seen.push(payload.toString()));
      await peer.subscribeAsync(`devices/${device.deviceId}/commands`, {
        qos: 1,
      });
      const running = createCommandLink({
        url: proxy.url,
        name: "test",
        prefix: "traksense",
        observer: quiet,
      });
      try {
        await until(() => running.connected(), {
          ...patience,
          what: "connected",
        });
        const now = Date.now();
        const sending = Array.from({ length: 30 }, () =>
          running.send(device, someCommand(now), now).then(
            () => "sent",
            (error: unknown) =>
              error instanceof TwinstreamError ? error.code : "other",
          ),
        );
        // Before a byte of them has passed: publishing is synchronous up to the socket, the relay reads it later.
        proxy.cut();
        assert.equal(
          [...new Set(await within(5000, Promise.all(sending), "answers"))],
          ["BROKER_UNREACHABLE"],
        );
        await until(() => running.connected(), { ...patience, what: "back" });
        const probe = someCommand(now);
        assert.is(await running.send(device, probe, now), "delivered");
        await until(() => seen.length > 0, { ...patience, what: "the probe" });
        assert.equal(seen, [commandPayload(probe)]);
      } finally {
        await running.close();
      }
    }),
);

link.run();
