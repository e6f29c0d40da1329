/** What the gateway stands on; the composition root gives it, tests give doubles. */
import type { FastifyRequest } from "fastify";
import { DEFAULT_TENANT } from "../domain/names.js";
import type {
  Clock,
  DeviceRecords,
  DeviceViewReader,
  LogWriter,
  Observer,
} from "../ports.js";
import type { Health } from "./dependency-health.js";

export interface GatewayDeps {
  readonly view: DeviceViewReader;
  readonly records: DeviceRecords;
  readonly log: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly health: () => Promise<Health>;
  /** This process's metrics in Prometheus' text format. */
  readonly metrics: () => Promise<{ contentType: string; body: string }>;
  readonly settings: GatewaySettings;
}

export interface GatewaySettings {
  /** DEVICE_OFFLINE_TIMEOUT. */
  readonly offlineTimeoutS: number;
  /** HISTORY_HOURS. */
  readonly historyHours: number;
  /** PEM texts; plain HTTP without. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

/** Whose devices a request may see. The only place that decides it. */
export function tenantOf(_request: FastifyRequest): string {
  return DEFAULT_TENANT;
}
