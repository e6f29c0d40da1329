/** Both MQTT ports against a real mosquitto: the suites that their doubles pass in test/conformance. */
import mqtt from "mqtt";
import { createCommandLink } from "../../src/adapters/mqtt/command-link.js";
import {
  commandLinkSuite,
  packetSourceSuite,
} from "../conformance/mqtt-suites.js";
import { until } from "../support/wait.js";
import { patience, quiet, sourceOn, withBroker } from "./mqtt-ground.js";

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
