/** The gateway: HTTP → what Redis and the database show, and commands → log. */
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLogWriter } from "../adapters/kafka/writer.js";
import { greetBroker } from "../adapters/mqtt/visit.js";
import { createDeviceViewReader } from "../adapters/redis/device-view-reader.js";
import { createAdapterDesk } from "../adapters/timescale/adapter-desk.js";
import { createAnalyticsReader } from "../adapters/timescale/analytics-reader.js";
import { createLiveFeed } from "../adapters/redis/live-feed.js";
import { readTls } from "../adapters/tls/files.js";
import { createRateCounter } from "../adapters/redis/rate-limit.js";
import { createTickets } from "../adapters/redis/tickets.js";
import { createAccounts } from "../adapters/timescale/accounts.js";
import { createCommandKeys } from "../adapters/timescale/command-keys.js";
import { createDeviceRecords } from "../adapters/timescale/device-records.js";
import { createExplainReader } from "../adapters/timescale/explain-reader.js";
import { createFleetReader } from "../adapters/timescale/fleet-reader.js";
import { createLetterDesk } from "../adapters/timescale/letter-desk.js";
import { createStandingReader } from "../adapters/timescale/standing.js";
import { type Config, listOf } from "../config.js";
import { TwinstreamError } from "../errors.js";
import { buildGateway } from "../gateway/app.js";
import { createPasswords } from "../gateway/auth/passwords.js";
import {
  createDependencyHealth,
  type DependencyCheck,
} from "../gateway/dependency-health.js";
import { followHorizon } from "../gateway/horizon.js";
import { createReplayer } from "../pipeline/replay.js";
import { createStandingWatch } from "../pipeline/standing-watch.js";
import type { ObjectStore } from "../ports.js";
import { keepCredentials } from "./credentials.js";
import { decodeRules } from "./decode-rules.js";
import { logConnection } from "./kafka-log.js";
import { readPageFiles } from "./page-files.js";
import type { Role, RoleBase } from "./role.js";
import { openUploads } from "./uploads.js";

const READINESS_MS = 1000;
/** Milliseconds a broker may take to greet back. */
const GREETING_MS = 2000;
/** Database connections for idempotency keys of commands at most; each is held for a statement or two. */
const KEY_CONNECTIONS = 4;
/** Database connections for log-ins and refreshes at most; no more passwords than two are checked at a time. */
const LOGIN_CONNECTIONS = 4;
/** Database connections for devices' adapters at most: people ask for them, not programs. */
const ADAPTER_CONNECTIONS = 2;
/** And for summing up fleets: what one found serves all who look. */
const FLEET_CONNECTIONS = 2;
/** And for what operators ask of the dead letters. */
const LETTER_CONNECTIONS = 2;

export const gateway: Role = {
  name: "gateway",
  async start(base) {
    const { config, observer, registry, readiness, log: lines } = base;
    mustBeEncrypted(config);
    const connection = logConnection(base, "gateway");
    const inspector = createLogInspector(connection);
    base.onStop("log inspector", () => inspector.close());
    const log = createLogWriter(connection);
    base.onStop("log", () => log.close());
    const view = createDeviceViewReader({ url: config.REDIS_URL });
    base.onStop("redis", () => view.close());
    const records = createDeviceRecords({
      url: config.DATABASE_READ_URL ?? config.DATABASE_URL,
      name: "gateway",
      poolMin: config.DB_POOL_MIN,
      poolMax: config.DB_POOL_MAX,
    });
    base.onStop("database", () => records.close());
    const commandKeys = createCommandKeys({
      url: config.DATABASE_URL,
      name: "gateway command keys",
      poolMax: KEY_CONNECTIONS,
    });
    base.onStop("command keys", () => commandKeys.close());
    // Connections of its own: long questions and exports leave those of the device pages alone.
    const analytics = createAnalyticsReader({
      url: config.DATABASE_READ_URL ?? config.DATABASE_URL,
      name: "gateway analytics",
      poolMin: 0,
      poolMax: config.DB_POOL_MAX,
    });
    base.onStop("analytics", () => analytics.close());

    const reader = createExplainReader({
      url: config.DATABASE_READ_URL ?? config.DATABASE_URL,
      name: "gateway explain",
      poolMax: 2,
    });
    base.onStop("explain", () => reader.close());

    const counter = createRateCounter({ url: config.REDIS_URL });
    base.onStop("rate limits", () => counter.close());
    const tickets = createTickets({ url: config.REDIS_URL });
    base.onStop("tickets", () => tickets.close());
    const feed = createLiveFeed({ url: config.REDIS_URL, clock: Date.now });
    base.onStop("live feed", () => feed.close());
    const accounts = createAccounts({
      url: config.DATABASE_URL,
      name: "gateway log-in",
      poolMax: LOGIN_CONNECTIONS,
    });
    base.onStop("accounts", () => accounts.close());

    const adapters = createAdapterDesk({
      url: config.DATABASE_URL,
      name: "gateway adapters",
      role: "twinstream_gateway",
      poolMax: ADAPTER_CONNECTIONS,
    });
    base.onStop("adapters", () => adapters.close());
    const desk = createLetterDesk({
      url: config.DATABASE_URL,
      name: "gateway dead letters",
      role: "twinstream_gateway",
      poolMax: LETTER_CONNECTIONS,
    });
    base.onStop("dead letters", () => desk.close());

    const fleet = createFleetReader({
      url: config.DATABASE_READ_URL ?? config.DATABASE_URL,
      name: "gateway fleet",
      poolMax: FLEET_CONNECTIONS,
    });
    base.onStop("fleet", () => fleet.close());

    const uploads = openUploads(base, log);
    watchStanding(base, uploads.objects);
    const horizon = followHorizon(view, observer);
    base.onStop("horizon", async () => horizon.stop());
    await horizon.start();

    const health = createDependencyHealth({
      checks: [
        { part: "redis", check: () => view.ping() },
        { part: "database", check: () => records.ping() },
        { part: "log", check: () => inspector.clusterId() },
        { part: "objects", check: () => uploads.objects.ping() },
        { part: "mqtt", check: brokerCheck(config), needed: false },
      ],
      observer,
      clock: Date.now,
    });
    const rules = decodeRules(config, config.IOT_PARTITIONS);
    const app = buildGateway({
      view,
      records,
      commandKeys,
      analytics,
      adapters,
      log,
      credentials: keepCredentials(base),
      letters: {
        desk,
        replayer: createReplayer({ desk, log: inspector, writer: log }),
      },
      uploads,
      fleet: { reader: fleet, log: inspector },
      page: await readPageFiles(),
      observer,
      tracer: base.tracer,
      clock: Date.now,
      horizon: horizon.current,
      health,
      metrics: async () => ({
        contentType: registry.contentType,
        body: await registry.metrics(),
      }),
      ...(config.AUTH === "on" && {
        auth: {
          accounts,
          tokens: accounts,
          tickets,
          passwords: createPasswords(),
          secret: config.JWT_SECRET,
          production: config.NODE_ENV === "production",
        },
      }),
      explain: {
        log: inspector,
        reader,
        rules,
        rawRetentionDays: config.RAW_RETENTION_DAYS,
        clock: Date.now,
      },
      live: {
        feed,
        places: {
          total: config.LIVE_MAX_CLIENTS,
          perUser: config.LIVE_MAX_PER_USER,
          perAddress: config.LIVE_MAX_PER_ADDRESS,
        },
        bufferBytes: config.LIVE_BUFFER_BYTES,
        stuckS: config.LIVE_STUCK_SECONDS,
      },
      limits: {
        counter,
        perIp: config.RATE_LIMIT_IP,
        perUser: config.RATE_LIMIT_USER,
        perLogin: config.RATE_LIMIT_LOGIN,
      },
      settings: {
        offlineTimeoutS: config.DEVICE_OFFLINE_TIMEOUT,
        historyHours: config.HISTORY_HOURS,
        rawRetentionDays: config.RAW_RETENTION_DAYS,
        rules,
        tls: tlsOf(config),
        trustProxy: config.TRUST_PROXY,
        ...(config.CORS_ORIGINS !== undefined && {
          corsOrigins: listOf(config.CORS_ORIGINS),
        }),
        docs: config.DOCS === "on",
      },
    });
    base.onStop("gateway", () => app.close());
    const http = await app.listen({
      host: config.HTTP_HOST,
      port: config.HTTP_PORT,
    });
    lines.info({ http }, "listening");

    const look = async (): Promise<void> => {
      const away = (await health.needed()).parts.filter((part) => !part.ok);
      readiness.report({
        part: "gateway",
        ok: away.length === 0,
        reason:
          away.length === 0
            ? null
            : away.map(({ part, reason }) => `${part}: ${reason}`).join("; "),
      });
    };
    const looking = setInterval(() => void look(), READINESS_MS);
    base.onStop("readiness", async () => clearInterval(looking));
    await look();
  },
};

/** What stands in the stores, for gauges: from now on. */
function watchStanding(base: RoleBase, objects: ObjectStore): void {
  const { config, observer } = base;
  const store = createStandingReader({
    url: config.DATABASE_URL,
    name: "gateway standing",
  });
  base.onStop("standing", () => store.close());
  const watch = createStandingWatch({
    store,
    objects,
    observer,
    clock: Date.now,
  });
  base.onStop("standing watch", () => watch.stop());
  watch.start();
}

/** The gateway itself has no business with the broker, and may stand where there is none. */
function brokerCheck({ MQTT_URL }: Config): DependencyCheck["check"] {
  if ((process.env["MQTT_URL"] ?? "") === "")
    return "MQTT_URL is not set for this gateway";
  return () => greetBroker(MQTT_URL, GREETING_MS);
}

/** Passwords and tokens do not cross a network in the clear. */
function mustBeEncrypted(config: Config): void {
  if (config.NODE_ENV !== "production") return;
  if (config.TLS_CERT === undefined && config.TRUST_PROXY === undefined)
    throw new TwinstreamError(
      "CONFIG_INVALID",
      "the gateway needs TLS_CERT and TLS_KEY with NODE_ENV=production, or TRUST_PROXY with the addresses of the proxies that end TLS before it",
    );
}

/**
 * The certificate and key as texts; undefined for plain HTTP.
 * @throws TwinstreamError CONFIG_INVALID when they cannot be used
 */
function tlsOf(config: Config): { cert: string; key: string } | undefined {
  if (config.TLS_CERT === undefined || config.TLS_KEY === undefined)
    return undefined;
  const files = { cert: config.TLS_CERT, key: config.TLS_KEY };
  const { cert = "", key = "" } = readTls(files, "TLS");
  return { cert, key };
}
