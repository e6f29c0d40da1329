/** The bridge's side of MQTT, what only the wire can show. */
import { type AddressInfo, type Socket, createServer } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createPacketSource } from "../../src/adapters/mqtt/packet-source.js";
import { TwinstreamError } from "../../src/errors.js";
import type { InboundPacket, TelemetryEvent } from "../../src/ports.js";
import { until, within } from "../support/wait.js";
import { patience, sourceOn, withBroker } from "./mqtt-ground.js";

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

source(
  "a source put out by another of its client id says so, and does not come back at once",
  async () => {
    // mosquitto 2.0 closes without a word; others send DISCONNECT with reason 142, as the specification has it.
    const connects: number[] = [];
    const server = createServer((socket: Socket) => {
      connects.push(Date.now());
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
      await until(() => connects.length === 2, {
        ...patience,
        what: "a retry",
      });
      const waited = connects[1]! - connects[0]!;
      assert.ok(waited >= 4900, `came back after ${waited} ms`);
    } finally {
      await running.stop();
      await started;
      server.close();
    }
  },
);

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
        // SUBACK of one filter (the bridge's own topic has one too), then one message of QoS 1 with packet id 9.
        socket.write(Buffer.from([0x90, 3, packet[2]!, packet[3]!, 1]));
        if (packet.includes("twinstream/")) return;
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
