/** A gateway on doubles, at a fixed time. */
import type { FastifyInstance } from "fastify";
import { buildGateway } from "../../src/gateway/app.js";
import {
  createDependencyHealth,
  type DependencyCheck,
} from "../../src/gateway/dependency-health.js";
import type { GatewayDeps } from "../../src/gateway/deps.js";
import type { Problem } from "../../src/gateway/problems.js";
import {
  createMemoryAdapterDesk,
  type MemoryAdapterDesk,
} from "./memory-adapter-desk.js";
import { createMemoryAnalytics } from "./memory-analytics.js";
import {
  createMemoryCommandKeys,
  createMemoryLog,
  createMemoryObserver,
  createMemoryRecords,
  createMemoryReader,
} from "./memory-readers.js";

export const NOW_MS = Date.parse("2026-01-15T10:00:00.000Z");
export const NOW_S = NOW_MS / 1000;
export const NOW_US = NOW_MS * 1000;

/** As the settings' defaults have them. */
const RULES = {
  futureUs: 24 * 3_600_000_000,
  earliestUs: Date.UTC(2000, 0, 1) * 1000,
  retentionUs: 30 * 86_400_000_000,
  tenantPrefix: "traksense",
  partitions: 12,
};

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly body: unknown;
}

export interface GatewayRig {
  readonly app: FastifyInstance;
  readonly view: ReturnType<typeof createMemoryReader>;
  readonly records: ReturnType<typeof createMemoryRecords>;
  readonly analytics: ReturnType<typeof createMemoryAnalytics>;
  readonly adapters: MemoryAdapterDesk;
  readonly log: ReturnType<typeof createMemoryLog>;
  readonly observer: ReturnType<typeof createMemoryObserver>;
  /** Unix milliseconds; may be moved. */
  readonly time: { nowMs: number };
  get(url: string, headers?: Record<string, string>): Promise<Answer>;
  remove(url: string): Promise<Answer>;
  post(
    url: string,
    body: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
}

export async function withGateway(
  run: (rig: GatewayRig) => Promise<void>,
  options: {
    checks?: DependencyCheck[];
    deps?: Partial<GatewayDeps>;
    settings?: Partial<GatewayDeps["settings"]>;
  } = {},
): Promise<void> {
  const records = createMemoryRecords();
  const analytics = createMemoryAnalytics();
  const adapters = createMemoryAdapterDesk();
  const log = createMemoryLog();
  const observer = createMemoryObserver();
  const time = { nowMs: NOW_MS };
  const view = createMemoryReader(() => time.nowMs);
  const app = buildGateway({
    view,
    records,
    commandKeys: createMemoryCommandKeys(),
    analytics,
    adapters,
    log,
    observer,
    clock: () => time.nowMs,
    health: createDependencyHealth({
      checks: options.checks ?? [],
      observer,
      clock: () => time.nowMs,
    }),
    metrics: async () => ({ contentType: "text/plain", body: "a_metric 1\n" }),
    settings: {
      offlineTimeoutS: 60,
      historyHours: 5,
      rawRetentionDays: 30,
      rules: RULES,
      ...options.settings,
    },
    ...options.deps,
  });
  const rig: GatewayRig = {
    app,
    view,
    records,
    analytics,
    adapters,
    log,
    observer,
    time,
    get: async (url, headers = {}) =>
      answerOf(await app.inject({ method: "GET", url, headers })),
    remove: async (url) =>
      answerOf(await app.inject({ method: "DELETE", url })),
    post: async (url, body, headers = {}) =>
      answerOf(
        await app.inject({
          method: "POST",
          url,
          headers: { "content-type": "application/json", ...headers },
          payload: typeof body === "string" ? body : JSON.stringify(body),
        }),
      ),
  };
  try {
    await run(rig);
  } finally {
    await app.close();
  }
}

export function answerOf(response: {
  statusCode: number;
  headers: Readonly<Record<string, unknown>>;
  body: string;
}): Answer {
  const isJson = String(response.headers["content-type"]).includes("json");
  return {
    status: response.statusCode,
    headers: response.headers,
    text: response.body,
    body:
      isJson && response.body !== "" ? JSON.parse(response.body) : undefined,
  };
}

export const problemIn = (answer: Answer): Problem => answer.body as Problem;
