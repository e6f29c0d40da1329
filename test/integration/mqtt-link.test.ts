/** Commands over a real mosquitto, what only the wire can show. */
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  commandPayload,
  createCommandLink,
} from "../../src/adapters/mqtt/command-link.js";
import { TwinstreamError } from "../../src/errors.js";
import type { CommandLink } from "../../src/ports.js";
import { someCommand, someDevice } from "../conformance/mqtt-suites.js";
import { until, within } from "../support/wait.js";
import { patience, quiet, withBroker } from "./mqtt-ground.js";

const link = suite("command link on the wire");

/** A link that is connected. */
async function withLink(
  url: string,
  use: (running: CommandLink) => Promise<void>,
): Promise<void> {
  const running = createCommandLink({
    url,
    name: "test",
    prefix: "traksense",
    observer: quiet,
  });
  try {
    await until(() => running.connected(), { ...patience, what: "connected" });
    await use(running);
  } finally {
    await running.close();
  }
}

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
    await withLink(proxy.url, async (running) => {
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
      // Whole seconds of the minute, and some of it is over by then.
      assert.is(packet.properties?.messageExpiryInterval, 59);
    });
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
    try {
      await withLink(proxy.url, async (running) => {
        const now = Date.now();
        const sent = await running.send(device, someCommand(now), now);
        assert.is(sent, "delivered");
      });
    } finally {
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
      await withLink(proxy.url, async (running) => {
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
      });
    }),
);

link.run();
