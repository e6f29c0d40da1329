/** The in-memory MQTT broker is held to the suites that the real one passes in test/integration/mqtt.test.ts. */
import { createFakeBroker } from "./mqtt-fakes.js";
import { commandLinkSuite, packetSourceSuite } from "./mqtt-suites.js";

packetSourceSuite("in memory", async (use) => {
  const broker = createFakeBroker();
  await use({
    name: "d1",
    source: broker.source,
    cut: broker.cut,
    async publish(payload, qos) {
      broker.publish("devices/d1/data", payload, qos);
    },
  });
});

commandLinkSuite("in memory", async (use) => {
  const broker = createFakeBroker();
  const link = broker.link();
  await use({
    link,
    async listen(device) {
      const inbox = broker.subscribe(device.address);
      return new Proxy([] as string[], {
        get: (_, name) =>
          Reflect.get(
            inbox.map(({ cmdId }) => cmdId),
            name,
          ),
      });
    },
    async down() {
      broker.down();
    },
    async up() {
      broker.up();
    },
  });
});
