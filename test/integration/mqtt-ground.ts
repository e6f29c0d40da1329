/** A real broker behind a relay that a test can break. */
import { randomUUID } from "node:crypto";
import mqtt from "mqtt";
import { createPacketSource } from "../../src/adapters/mqtt/packet-source.js";
import { type MqttProxy, startMqttProxy } from "../support/mqtt-proxy.js";
import { withServices } from "../support/services.js";

export const patience = { withinMs: 10_000 };
export const quiet = { emit: () => undefined };

/** A relay to the broker, a plain client, and a name of their own. */
export async function withBroker(
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

export const sourceOn = (
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
