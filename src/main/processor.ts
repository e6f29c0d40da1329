/** The processor: log → device actors → Redis and database, and commands → MQTT. */
import { randomUUID } from "node:crypto";
import { createActorSystem } from "../../actors/system.js";
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLaneFeed } from "../adapters/kafka/lane-feed.js";
import { createLogWriter } from "../adapters/kafka/writer.js";
import { createCommandLink } from "../adapters/mqtt/command-link.js";
import { createDeviceView } from "../adapters/redis/device-view.js";
import { createTelemetryStore } from "../adapters/timescale/telemetry-store.js";
import { chooserOf } from "../domain/adapters/registry.js";
import { createDecoder, type Decoder } from "../domain/decode.js";
import { deviceReducer, type ApplyMessages } from "../domain/decide.js";
import { TOPIC } from "../domain/names.js";
import { follow } from "../pipeline/follow.js";
import type { CommandLink, DeviceActors, TelemetryStore } from "../ports.js";
import { createProcessor } from "../pipeline/processor.js";
import { LANE_TOPICS } from "../pipeline/lane-deps.js";
import { decodeRules } from "./decode-rules.js";
import { logConnection } from "./kafka-log.js";
import { startPatience, tellTroubles } from "./role-readiness.js";
import type { Role, RoleBase } from "./role.js";

const STOP_MS = 12_000;
/** Half of the time after which the group gives the partitions to others. */
const SILENT_LOG_MS = 3000;
const HOUR_US = 3_600_000_000;

export const processor: Role = {
  name: "processor",
  start: (base) => startProcessor(base),
};

/** What stands in for the processor's own parts in tests that plant a fault, and in benchmarks that leave one out. */
export interface Planted {
  readonly decoder?: (own: Decoder) => Decoder;
  readonly actors?: (own: DeviceActors, reducer: ApplyMessages) => DeviceActors;
  readonly reducer?: (own: ApplyMessages) => ApplyMessages;
  readonly store?: (own: TelemetryStore) => TelemetryStore;
  readonly link?: (own: CommandLink) => CommandLink;
}

export async function startProcessor(
  base: RoleBase,
  planted: Planted = {},
): Promise<void> {
  const { config, observer } = base;
  const connection = logConnection(base, "processor");
  const log = createLogInspector(connection);
  base.onStop("log", log.close);
  const deadLetters = createLogWriter(connection);
  base.onStop("dead letters", deadLetters.close);
  const store = createTelemetryStore({
    url: config.DATABASE_URL,
    name: config.PROCESSOR_ID,
    poolMin: config.DB_POOL_MIN,
    poolMax: config.DB_POOL_MAX,
  });
  base.onStop("database", store.close);
  const view = createDeviceView({
    url: config.REDIS_URL,
    historySeconds: config.HISTORY_HOURS * 3600,
    offlineAfterSeconds: config.DEVICE_OFFLINE_TIMEOUT,
    clock: Date.now,
  });
  base.onStop("redis", view.close);
  const link = createCommandLink({
    url: config.MQTT_URL,
    name: `twinstream-${config.PROCESSOR_ID}`,
    prefix: config.MQTT_TENANT_PREFIX,
    observer,
  });
  base.onStop("command link", link.close);

  const rules = {
    historyUs: config.HISTORY_HOURS * HOUR_US,
    tenantPrefix: config.MQTT_TENANT_PREFIX,
  };
  const patiently = startPatience(base, "processor");
  const tenants = follow("tenants", store.tenants, new Set(), observer);
  base.onStop("tenants", async () => tenants.stop());
  await patiently(tenants.start);
  const adapters = follow(
    "devices' adapters",
    store.registeredAdapters,
    new Map<string, string>(),
    observer,
  );
  base.onStop("adapters", async () => adapters.stop());
  await patiently(adapters.start);
  const partitions = (await patiently(() => log.bounds(TOPIC.data))).length;
  const own = createDecoder({
    ...decodeRules(config, partitions),
    tenants: tenants.current,
    adapterOf: chooserOf(adapters.current),
  });
  const decoder = planted.decoder?.(own) ?? own;
  const feed = createLaneFeed(connection, {
    groupId: config.PROCESSOR_GROUP,
    topics: LANE_TOPICS,
  });
  const ownReducer = deviceReducer(rules);
  const reducer = planted.reducer?.(ownReducer) ?? ownReducer;
  const actors = createActorSystem({
    applyMessages: reducer,
    tenantPrefix: config.MQTT_TENANT_PREFIX,
    observer,
  });
  const running = createProcessor({
    feed,
    log,
    deadLetters,
    store: planted.store?.(store) ?? store,
    view,
    link: planted.link?.(link) ?? link,
    actors: planted.actors?.(actors, reducer) ?? actors,
    observer,
    clock: Date.now,
    decode: (topic) =>
      topic === TOPIC.commands ? decoder.decodeCommand : decoder.decode,
    rules,
    settings: {
      group: config.PROCESSOR_GROUP,
      owner: `${config.PROCESSOR_ID}/${process.pid}/${randomUUID().slice(0, 8)}`,
      batchSize: config.INGEST_BATCH_SIZE,
      batchMs: config.INGEST_BATCH_MS,
      offlineAfterMs: config.DEVICE_OFFLINE_TIMEOUT * 1000,
      actorIdleMs: config.ACTOR_IDLE_SECONDS * 1000,
      queueMessages: config.INGEST_QUEUE_MAX,
      queueBytes: config.INGEST_QUEUE_BYTES,
      liveActors: config.MAX_LIVE_ACTORS,
      watchdogMs: config.WATCHDOG_SECONDS * 1000,
    },
    giveUp: base.giveUp,
    tracer: base.tracer,
  });
  base.onStop("processor", () => running.stop(STOP_MS));
  tellTroubles(base, "processor", () => {
    const troubles = running.troubles();
    const { lastHeartbeatMs } = feed.health();
    const silentMs = Date.now() - lastHeartbeatMs;
    if (lastHeartbeatMs > 0 && silentMs > SILENT_LOG_MS)
      troubles.unshift(
        `waits for the log: no answer to its heartbeats for ${Math.round(silentMs / 1000)} s`,
      );
    return troubles;
  });
  await running.start();
}
