/** The bridge: MQTT broker → log. */
import { createLogWriter } from "../adapters/kafka/writer.js";
import { cautions, topicFilters } from "../adapters/mqtt/filters.js";
import { createPacketSource } from "../adapters/mqtt/packet-source.js";
import { TOPIC } from "../domain/names.js";
import { createBridge } from "../pipeline/bridge.js";
import { createBeat } from "../pipeline/bridge-beat.js";
import { logConnection } from "./kafka-log.js";
import type { Observer } from "../ports.js";
import type { Role, RoleBase } from "./role.js";

const STOP_MS = 10_000;

export const bridge: Role = {
  name: "bridge",
  async start(base) {
    const { config, log } = base;
    const { observer, subscribed } = watchReadiness(base);
    const filters = topicFilters(config.MQTT_TOPICS, config.MQTT_TENANT_PREFIX);
    for (const caution of cautions(filters, config.MQTT_TENANT_PREFIX))
      log.warn({ MQTT_TOPICS: config.MQTT_TOPICS }, caution);
    const writer = createLogWriter(logConnection(base, "bridge"));
    base.onStop("log", writer.close);
    if (config.MQTT_SHARE_GROUP !== undefined)
      log.warn(
        { group: config.MQTT_SHARE_GROUP },
        "a shared subscription keeps the order of a device only where the broker hashes by topic (EMQX: mqtt.shared_subscription_strategy = hash_topic); one that deals messages out in turn breaks it",
      );
    const source = createPacketSource({
      url: config.MQTT_URL,
      clientId: config.BRIDGE_ID,
      filters,
      shareGroup: config.MQTT_SHARE_GROUP,
      qos: config.MQTT_QOS as 0 | 1,
      receiveMaximum: config.BRIDGE_WINDOW,
      observer,
      clock: Date.now,
      traced: base.tracer !== undefined,
    });
    const beat = createBeat(
      { source, log: writer, observer, clock: Date.now },
      config.BRIDGE_ID,
    );
    const running = createBridge(
      {
        source,
        log: writer,
        observer,
        clock: Date.now,
        probed: beat.probed,
        tracer: base.tracer,
      },
      {
        topic: TOPIC.data,
        bridgeId: config.BRIDGE_ID,
        prefix: config.MQTT_TENANT_PREFIX,
        window: config.BRIDGE_WINDOW,
        windowBytes: config.BRIDGE_WINDOW_BYTES,
        lingerMs: config.BRIDGE_LINGER_MS,
      },
    );
    base.onStop("bridge", () => running.stop(STOP_MS));
    await running.start();
    base.onStop("beat", async () => beat.stop());
    beat.start();
    subscribed();
  },
};

/**
 * The bridge is ready once subscribed, while it has its broker and the log takes what it hands over: its own events tell.
 */
function watchReadiness({ observer, readiness }: RoleBase): {
  observer: Observer;
  subscribed: () => void;
} {
  const away = { subscription: "starting", broker: "", log: "" };
  const report = (): void => {
    const reasons = Object.values(away).filter((reason) => reason !== "");
    const ok = reasons.length === 0;
    readiness.report({
      part: "bridge",
      ok,
      reason: ok ? null : reasons.join("; "),
    });
  };
  return {
    observer: {
      emit(event) {
        observer.emit(event);
        if (event.type === "mqtt_connection")
          away.broker = event.connected
            ? ""
            : `waits for the MQTT broker: ${event.detail}`;
        else if (event.type === "bridge_waiting")
          away.log = `waits for the log: ${event.error}`;
        else if (event.type === "bridge_batch") away.log = "";
        else return;
        report();
      },
    },
    subscribed() {
      away.subscription = "";
      report();
    },
  };
}
