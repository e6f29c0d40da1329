/** What the gateway stands on; the composition root gives it, tests give doubles. */
import type { FastifyRequest } from "fastify";
import type { DecodeRules } from "../domain/decode.js";
import type {
  AdapterDesk,
  AnalyticsReader,
  Clock,
  CredentialDesk,
  CommandKeys,
  DeviceRecords,
  DeviceViewReader,
  LogWriter,
  Observer,
  ShownHorizon,
  Tracer,
} from "../ports.js";
import type { AuthDeps } from "./auth/guard.js";
import { userOf } from "./auth/identity.js";
import type { RateLimits } from "./auth/limits.js";
import type { UploadDeps } from "./bulk/uploads.js";
import type { DependencyHealth } from "./dependency-health.js";
import type { ExplainDeps } from "./explain.js";
import type { LiveDeps } from "./routes/live.js";
import type { FleetDeps } from "./fleet.js";
import type { LetterDeps } from "./routes/dead-letters.js";
import type { PageFiles } from "./routes/page.js";

export interface GatewayDeps {
  readonly view: DeviceViewReader;
  readonly records: DeviceRecords;
  readonly commandKeys: CommandKeys;
  readonly analytics: AnalyticsReader;
  readonly adapters: AdapterDesk;
  readonly log: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly health: DependencyHealth;
  /** Until when everything is known; null, or without it, the clock counts. */
  readonly horizon?: () => ShownHorizon | null;
  /** This process's metrics in Prometheus' text format. */
  readonly metrics: () => Promise<{ contentType: string; body: string }>;
  readonly settings: GatewaySettings;
  /** Without it the gateway is open (AUTH=off), and everybody is an admin of the tenant `default`. */
  readonly auth?: AuthDeps | undefined;
  /** Where traces are wanted. */
  readonly tracer?: Tracer | undefined;
  /** Without it requests are not counted. */
  readonly limits?: RateLimits | undefined;
  /** Without it devices' log-ins are nobody's business here. */
  readonly credentials?: CredentialDesk | undefined;
  /** Without it no reading is explained. */
  readonly explain?: ExplainDeps | undefined;
  /** Without it dead letters and quarantine are not shown. */
  readonly letters?: LetterDeps | undefined;
  /** Without it nothing is shown while it happens. */
  readonly live?: LiveDeps | undefined;
  /** Without it no uploads are taken. */
  readonly uploads?: UploadDeps | undefined;
  /** Without it a fleet is not summed up. */
  readonly fleet?: FleetDeps | undefined;
  /** Without it there is no web page at `/`. */
  readonly page?: PageFiles | undefined;
}

export interface GatewaySettings {
  /** DEVICE_OFFLINE_TIMEOUT. */
  readonly offlineTimeoutS: number;
  /** HISTORY_HOURS. */
  readonly historyHours: number;
  /** RAW_RETENTION_DAYS; 0 keeps for ever. */
  readonly rawRetentionDays: number;
  /** What the processor judges by, but for the tenants. */
  readonly rules: Omit<DecodeRules, "tenants">;
  /** PEM texts; plain HTTP without. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** TRUST_PROXY: addresses of proxies, by commas; without it X-Forwarded-For is not looked at. */
  readonly trustProxy?: string | undefined;
  /** CORS_ORIGINS: who else's pages a browser lets read our answers. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** DOCS: whether /docs is there. */
  readonly docs?: boolean | undefined;
}

/** Whose devices a request may see: its token's tenant, whatever else the request says. */
export function tenantOf(request: FastifyRequest): string {
  return userOf(request).tenant;
}
