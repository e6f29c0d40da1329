/** The gateway: HTTP → what Redis and the database show, and commands → log. */
import { readFile } from "node:fs/promises";
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLogWriter } from "../adapters/kafka/writer.js";
import { createDeviceViewReader } from "../adapters/redis/device-view-reader.js";
import { createDeviceRecords } from "../adapters/timescale/device-records.js";
import type { Config } from "../config.js";
import { TwinstreamError } from "../errors.js";
import { buildGateway } from "../gateway/app.js";
import { createDependencyHealth } from "../gateway/dependency-health.js";
import { logConnection } from "./kafka-log.js";
import type { Role } from "./role.js";

const READINESS_MS = 1000;

export const gateway: Role = {
  name: "gateway",
  async start(base) {
    const { config, observer, registry, readiness, log: lines } = base;
    if (config.AUTH === "on")
      throw new TwinstreamError(
        "CONFIG_INVALID",
        "AUTH=on: this version has no log-in yet; keep the gateway on loopback, or behind a proxy that asks who it is, with AUTH=off",
      );
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

    const health = createDependencyHealth({
      checks: [
        { part: "redis", check: () => view.ping() },
        { part: "database", check: () => records.ping() },
        { part: "log", check: () => inspector.clusterId() },
      ],
      observer,
      clock: Date.now,
    });
    const app = buildGateway({
      view,
      records,
      log,
      observer,
      clock: Date.now,
      health,
      metrics: async () => ({
        contentType: registry.contentType,
        body: await registry.metrics(),
      }),
      settings: {
        offlineTimeoutS: config.DEVICE_OFFLINE_TIMEOUT,
        historyHours: config.HISTORY_HOURS,
        tls: await tlsOf(config),
      },
    });
    base.onStop("gateway", () => app.close());
    const http = await app.listen({
      host: config.HTTP_HOST,
      port: config.HTTP_PORT,
    });
    lines.info({ http }, "listening");

    const look = async (): Promise<void> => {
      const away = (await health()).parts.filter((part) => !part.ok);
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

/** The certificate and key as texts; undefined for plain HTTP. */
async function tlsOf(
  config: Config,
): Promise<{ cert: string; key: string } | undefined> {
  if (config.TLS_CERT === undefined || config.TLS_KEY === undefined)
    return undefined;
  const [cert, key] = await Promise.all([
    readFile(config.TLS_CERT, "utf8"),
    readFile(config.TLS_KEY, "utf8"),
  ]);
  return { cert, key };
}
