/**
 * Gauges of what stands in the stores and of who answers: told by gateways, each of the whole. Where several gateways tell
 * the same, a panel or rule takes the maximum.
 */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ObjectsStanding, StoreStanding } from "../ports.js";

export const DEPENDENCIES = [
  "redis",
  "database",
  "log",
  "objects",
  "mqtt",
] as const;
const OPEN_CLAIMS = ["receiving", "stored", "processing"] as const;
const OPEN_COMMANDS = ["queued", "sent", "delivered"] as const;
/** Seconds; a read takes a millisecond or two, an upload minutes. */
const HTTP_SECONDS = [
  0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600,
];

export type StandingMetrics = ReturnType<typeof createStandingMetrics>;

/** @param diskBytes DATABASE_DISK_BYTES; 0 when it is not known */
export function createStandingMetrics(registry: Registry, diskBytes: number) {
  const registers = [registry];
  const gauge = <T extends string = never>(
    name: string,
    help: string,
    labelNames: T[] = [],
  ) => new Gauge<T>({ name, help, labelNames, registers });

  const metrics = {
    readAt: gauge(
      "store_read_timestamp_seconds",
      "When this process last read how the store stands; 0 when it does not",
    ),
    databaseBytes: gauge("database_bytes", "Bytes of the database on disk"),
    databaseDiskBytes: gauge(
      "database_disk_bytes",
      "Bytes of the database's volume, as DATABASE_DISK_BYTES says; 0 when not known",
    ),
    chunks: gauge(
      "store_chunks",
      "Chunks (or day partitions) of raw rows, by how they are kept",
      ["kind"],
    ),
    chunkBytes: gauge(
      "store_chunk_bytes",
      "Bytes of raw rows with their indexes, by how they are kept",
      ["kind"],
    ),
    oldestChunk: gauge(
      "store_oldest_chunk_seconds",
      "Seconds since the end of the oldest chunk of raw rows",
    ),
    retention: gauge(
      "store_raw_retention_seconds",
      "Seconds that raw rows are kept; 0 keeps them for ever",
    ),
    aggregateBytes: gauge("aggregate_bytes", "Bytes of an aggregate", [
      "aggregate",
    ]),
    aggregateBehind: gauge(
      "aggregate_behind_seconds",
      "Seconds since the end of what is stored of an aggregate",
      ["aggregate"],
    ),
    aggregateStale: gauge(
      "aggregate_stale",
      "1 while rows wait that the refresh policy should long have taken",
      ["aggregate"],
    ),
    policiesFailing: gauge(
      "store_policies_failing",
      "Background policies of the database whose work is not done",
    ),
    lateBuckets: gauge(
      "store_late_buckets",
      "Hours with late rows that wait for their refresh",
    ),
    claimsOpen: gauge("claims_open", "Uploads that have not ended, by state", [
      "state",
    ]),
    claimsOpenBytes: gauge(
      "claims_open_bytes",
      "Bytes, as stored, of uploads that have not ended, by state",
      ["state"],
    ),
    claimsOpenOldest: gauge(
      "claims_open_oldest_seconds",
      "Seconds since the oldest upload of a state was received",
      ["state"],
    ),
    commandsOpen: gauge(
      "commands_open",
      "Commands that have not ended, by state",
      ["state"],
    ),
    commandsOpenOldest: gauge(
      "commands_open_oldest_seconds",
      "Seconds since the oldest command of a state was given",
      ["state"],
    ),
    commandsOverdue: gauge(
      "commands_overdue",
      "Open commands whose time was over a minute ago",
    ),
    devicesKnown: gauge("devices_known", "Devices that have ever been seen"),
    devicesQuarantined: gauge(
      "devices_quarantined",
      "Devices whose messages go to the dead letters for now",
    ),
    objects: gauge(
      "object_store_objects",
      "Objects of uploads in the object store",
    ),
    objectBytes: gauge(
      "object_store_bytes",
      "Bytes of uploads in the object store",
    ),
    objectFree: gauge(
      "object_store_free_bytes",
      "Bytes the object store still has room for; -1 where it does not say",
    ),
    dependencyUp: gauge(
      "dependency_up",
      "1 while a service that a gateway works with answers it",
      ["part"],
    ),
    dependencySeconds: gauge(
      "dependency_seconds",
      "Seconds of a gateway's latest look at a service",
      ["part"],
    ),
    requests: new Counter({
      name: "http_requests_total",
      help: "Requests the gateway answered, by route and class of status",
      labelNames: ["method", "route", "status"],
      registers,
    }),
    requestSeconds: new Histogram({
      name: "http_request_seconds",
      help: "Seconds from a request's head to the end of its answer",
      buckets: HTTP_SECONDS,
      registers,
    }),
  };
  metrics.databaseDiskBytes.set(diskBytes);
  metrics.objectFree.set(-1);
  return metrics;
}

export function setStore(
  metrics: StandingMetrics,
  standing: StoreStanding,
  atMs: number,
): void {
  metrics.readAt.set(atMs / 1000);
  metrics.databaseBytes.set(standing.databaseBytes);
  metrics.chunks.reset();
  metrics.chunkBytes.reset();
  for (const { kind, count, bytes } of standing.chunks) {
    metrics.chunks.set({ kind }, count);
    metrics.chunkBytes.set({ kind }, bytes);
  }
  metrics.oldestChunk.set(standing.oldestChunkSeconds ?? 0);
  metrics.retention.set(standing.retentionSeconds);
  for (const { name, bytes, behindSeconds, stale } of standing.aggregates) {
    const of = { aggregate: name };
    metrics.aggregateBytes.set(of, bytes);
    if (behindSeconds !== null) metrics.aggregateBehind.set(of, behindSeconds);
    metrics.aggregateStale.set(of, stale ? 1 : 0);
  }
  metrics.policiesFailing.set(standing.policiesFailing);
  metrics.lateBuckets.set(standing.lateBuckets);
  for (const state of OPEN_CLAIMS) {
    const found = standing.claims.find((one) => one.state === state);
    metrics.claimsOpen.set({ state }, found?.count ?? 0);
    metrics.claimsOpenBytes.set({ state }, found?.bytes ?? 0);
    metrics.claimsOpenOldest.set({ state }, found?.oldestSeconds ?? 0);
  }
  for (const state of OPEN_COMMANDS) {
    const found = standing.commands.find((one) => one.state === state);
    metrics.commandsOpen.set({ state }, found?.count ?? 0);
    metrics.commandsOpenOldest.set({ state }, found?.oldestSeconds ?? 0);
  }
  metrics.commandsOverdue.set(standing.commandsOverdue);
  metrics.devicesKnown.set(standing.devicesKnown);
  metrics.devicesQuarantined.set(standing.devicesQuarantined);
}

export function setObjects(
  metrics: StandingMetrics,
  { count, bytes, freeBytes }: ObjectsStanding,
): void {
  metrics.objects.set(count);
  metrics.objectBytes.set(bytes);
  metrics.objectFree.set(freeBytes ?? -1);
}
