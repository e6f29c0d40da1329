/** The gateway: HTTP → what Redis and the database show, and commands → log. */
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLogWriter } from "../adapters/kafka/writer.js";
import { greetBroker } from "../adapters/mqtt/visit.js";
import { readTls } from "../adapters/tls/files.js";
import { createStandingReader } from "../adapters/timescale/standing.js";
import { type Config, listOf } from "../config.js";
import { TwinstreamError } from "../errors.js";
import { buildGateway } from "../gateway/app.js";
import { createPasswords } from "../gateway/auth/passwords.js";
import {
  createDependencyHealth,
  type DependencyCheck,
  type DependencyHealth,
} from "../gateway/dependency-health.js";
import { followHorizon } from "../gateway/horizon.js";
import { createReplayer } from "../pipeline/replay.js";
import { createStandingWatch } from "../pipeline/standing-watch.js";
import type { ObjectStore } from "../ports.js";
import { keepCredentials } from "./credentials.js";
import { decodeRules } from "./decode-rules.js";
import { openStores } from "./gateway-stores.js";
import { logConnection } from "./kafka-log.js";
import { readPageFiles } from "./page-files.js";
import type { Role, RoleBase } from "./role.js";
import { openUploads } from "./uploads.js";

const READINESS_MS = 1000;
/** Milliseconds a broker may take to greet back. */
const GREETING_MS = 2000;

export const gateway: Role = {
  name: "gateway",
  async start(base) {
    const { config, observer, registry, log: lines } = base;
    mustBeEncrypted(config);
    const connection = logConnection(base, "gateway");
    const inspector = createLogInspector(connection);
    base.onStop("log inspector", () => inspector.close());
    const log = createLogWriter(connection);
    base.onStop("log", () => log.close());
    const stores = openStores(base);
    const { view, records, accounts } = stores;
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
      commandKeys: stores.commandKeys,
      analytics: stores.analytics,
      adapters: stores.adapters,
      log,
      credentials: keepCredentials(base),
      letters: {
        desk: stores.letters,
        replayer: createReplayer({
          desk: stores.letters,
          log: inspector,
          writer: log,
        }),
      },
      uploads,
      fleet: { reader: stores.fleet, log: inspector },
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
          tickets: stores.tickets,
          passwords: createPasswords(),
          secret: config.JWT_SECRET,
          production: config.NODE_ENV === "production",
        },
      }),
      explain: {
        log: inspector,
        reader: stores.explain,
        rules,
        rawRetentionDays: config.RAW_RETENTION_DAYS,
        clock: Date.now,
      },
      live: {
        feed: stores.feed,
        places: {
          total: config.LIVE_MAX_CLIENTS,
          perUser: config.LIVE_MAX_PER_USER,
          perAddress: config.LIVE_MAX_PER_ADDRESS,
        },
        bufferBytes: config.LIVE_BUFFER_BYTES,
        stuckS: config.LIVE_STUCK_SECONDS,
      },
      limits: {
        counter: stores.counter,
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

    await tellHealth(base, health);
  },
};

/** The role is ready while all that it needs answers: from now on. */
async function tellHealth(
  base: RoleBase,
  health: DependencyHealth,
): Promise<void> {
  const look = async (): Promise<void> => {
    const away = (await health.needed()).parts.filter((part) => !part.ok);
    base.readiness.report({
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
}

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
