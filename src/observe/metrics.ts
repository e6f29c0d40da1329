/**
 * Every metric there is, declared at once so that each name stands on `/metrics` from the first scrape. Label values are
 * closed sets, topics and partitions, never a device or tenant: prom-client keeps every label set for ever.
 */
import {
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  type Registry,
} from "prom-client";
import { DEAD_LETTER_REASONS } from "../errors.js";
import type { CredentialAct, PresenceMove } from "../ports.js";
import { COMMAND_STATES } from "../domain/command-life.js";
import { createStandingMetrics } from "./standing-metrics.js";
import { createWeightedHistogram } from "./weighted-histogram.js";

const MESSAGE_TYPES = ["telem", "ack", "event", "hello"] as const;
const STORES = ["redis", "database"] as const;
export const WAITS = ["redis", "database", "log", "objects"] as const;
const PRESENCE_MOVES: readonly PresenceMove[] = [
  "online",
  "silent",
  "disconnected",
];
const CLAIM_ENDS = ["done", "rejected"] as const;
const READING_OUTCOMES = ["stored", "duplicate", "failed"] as const;
const CREDENTIAL_ACTS: readonly CredentialAct[] = [
  "offered",
  "taken",
  "not_taken",
  "ended",
  "mended",
];
const LIVE_KINDS = ["sse", "websocket"] as const;
/** Seconds; a hot batch takes milliseconds, a flush tens of them, a stalled store minutes. */
const SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
  60,
];
/** Seconds from arrival to stored; a backlog being drained is hours old. */
const LATENCY = [...SECONDS, 300, 1800, 7200, 43_200];
const BATCH = [1, 5, 10, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800];

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * Declares all metrics in `registry`, Node's own among them. Once a registry.
 * @param databaseDiskBytes DATABASE_DISK_BYTES
 */
export function createMetrics(registry: Registry, databaseDiskBytes = 0) {
  const registers = [registry];
  const counter = <T extends string = never>(
    name: string,
    help: string,
    labelNames: T[] = [],
  ) => new Counter<T>({ name, help, labelNames, registers });
  const gauge = <T extends string = never>(
    name: string,
    help: string,
    labelNames: T[] = [],
  ) => new Gauge<T>({ name, help, labelNames, registers });
  const histogram = <T extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: T[] = [],
  ) => new Histogram<T>({ name, help, buckets, labelNames, registers });

  const metrics = {
    messages: counter(
      "ingest_messages_total",
      "Messages taken from the log, by type",
      ["type"],
    ),
    points: counter(
      "ingest_points_total",
      "Readings stored as new rows in the database",
    ),
    duplicates: counter(
      "ingest_duplicates_total",
      "Readings that were in the database already",
    ),
    errors: counter(
      "ingest_errors_total",
      "Messages and readings kept as dead letters, by reason, and lost MQTT connections",
      ["reason"],
    ),
    batchSize: histogram(
      "ingest_batch_size",
      "Messages stored by one database transaction",
      BATCH,
    ),
    latency: createWeightedHistogram(registry, {
      name: "ingest_latency_seconds",
      help: "Seconds from arrival to stored, by message",
      buckets: LATENCY,
    }),
    queueSize: gauge(
      "ingest_queue_size",
      "Messages taken from the log and not stored yet",
    ),
    queueBytes: gauge(
      "ingest_queue_bytes",
      "Bytes taken from the log and not stored yet",
    ),
    lag: gauge(
      "consumer_lag",
      "Records of a partition that are not stored yet",
      ["topic", "partition"],
    ),
    behind: gauge(
      "consumer_behind_seconds",
      "Seconds since the newest stored record of a partition was put on the log; 0 when nothing waits",
      ["topic", "partition"],
    ),
    devicesOnline: gauge(
      "devices_online",
      "Devices of this process's partitions that are online",
    ),
    presenceChanges: counter(
      "presence_changes_total",
      "Devices that came online or went, by why they went",
      ["to"],
    ),
    bridges: gauge(
      "bridges",
      "Bridges that have told of themselves, by whether they are heard now",
      ["state"],
    ),
    actorsAlive: gauge("actors_alive", "Live device actors"),
    actorRestarts: counter(
      "actor_restarts_total",
      "Device actors put back to the state before a batch they failed on",
    ),
    actorQuarantines: counter(
      "actor_quarantines_total",
      "Devices put into quarantine for failing again and again",
    ),
    flushSeconds: histogram(
      "flush_seconds",
      "Seconds of one write to a store",
      SECONDS,
      ["store"],
    ),
    commands: counter("commands_total", "Commands that reached a state", [
      "state",
    ]),
    lanesAssigned: gauge("lanes_assigned", "Partitions this process works on"),
    laneWaiting: gauge(
      "lane_waiting",
      "1 while a partition waits for a store or the log",
      ["partition", "on"],
    ),
    laneWaits: counter(
      "lane_waits_total",
      "Failed attempts that a partition waited after, by what it waits for",
      ["on"],
    ),
    laneRefused: gauge(
      "lane_refused",
      "1 for a partition that stands still until a person decides",
      ["partition"],
    ),
    laneRestarts: counter(
      "lane_restarts_total",
      "Partitions begun again from their stored offset after a failure",
    ),
    laneRebuilding: gauge(
      "lane_rebuilding",
      "1 while the view in Redis is made again from the log",
      ["partition"],
    ),
    rebuildRecords: counter(
      "rebuild_records_total",
      "Log records read again to make the view in Redis anew",
    ),
    lostToRetention: counter(
      "lost_to_retention_total",
      "Log records that were gone before they were read",
    ),
    bridgeMessages: counter(
      "bridge_messages_total",
      "Messages from the MQTT broker that the log acknowledged",
    ),
    bridgeBytes: counter(
      "bridge_bytes_total",
      "Bytes from the MQTT broker that the log acknowledged",
    ),
    bridgeSeconds: histogram(
      "bridge_append_seconds",
      "Seconds until the log acknowledged one request of the bridge",
      SECONDS,
    ),
    bridgeWindow: gauge(
      "bridge_window_messages",
      "Messages the bridge holds unacknowledged",
    ),
    bridgeWindowBytes: gauge(
      "bridge_window_bytes",
      "Bytes the bridge holds unacknowledged",
    ),
    bridgeHeld: gauge(
      "bridge_held",
      "1 while the bridge reads nothing from the broker because its window is full",
    ),
    bridgeWaits: counter(
      "bridge_waits_total",
      "Failed requests to the log that the bridge waited after",
    ),
    mqttConnected: gauge(
      "mqtt_connected",
      "1 while connected to the MQTT broker",
      ["role"],
    ),
    claims: counter("claims_total", "Uploads that a worker ended, by state", [
      "state",
    ]),
    claimBytes: counter(
      "claim_bytes_total",
      "Bytes, uncompressed, of uploads that a worker ended",
    ),
    claimReadings: counter(
      "claim_readings_total",
      "Readings of uploads, by what became of them",
      ["outcome"],
    ),
    claimsInWork: gauge("claims_in_work", "Uploads a worker is at work on"),
    claimBytesInWork: gauge(
      "claim_bytes_in_work",
      "Bytes, uncompressed, of uploads a worker is at work on",
    ),
    credentialsDue: gauge(
      "device_credentials_due",
      "Passwords of devices that are to be replaced soon, or should have been",
    ),
    credentialsOverdue: gauge(
      "device_credentials_overdue",
      "Passwords of devices that should have been replaced",
    ),
    credentials: counter(
      "device_credentials_total",
      "What became of devices' accounts by itself",
      ["act"],
    ),
    liveClients: gauge("live_clients", "Open live streams, by their kind", [
      "kind",
    ]),
    liveFrames: counter(
      "live_frames_total",
      "Events sent to clients of live streams, each to each",
    ),
    liveConflated: counter(
      "live_conflated_total",
      "Events left out for clients that took them too slowly; newer ones of the same device took their place",
    ),
    liveClosedSlow: counter(
      "live_closed_slow_total",
      "Live streams closed because their client took nothing any more",
    ),
    failures: counter(
      "failures_total",
      "Errors that no other metric counts; the log has each",
    ),
    standing: createStandingMetrics(registry, databaseDiskBytes),
  };

  for (const kind of LIVE_KINDS) metrics.liveClients.set({ kind }, 0);
  for (const type of MESSAGE_TYPES) metrics.messages.inc({ type }, 0);
  for (const reason of [...DEAD_LETTER_REASONS, "mqtt_error"])
    metrics.errors.inc({ reason }, 0);
  for (const state of COMMAND_STATES) metrics.commands.inc({ state }, 0);
  for (const state of CLAIM_ENDS) metrics.claims.inc({ state }, 0);
  for (const outcome of READING_OUTCOMES)
    metrics.claimReadings.inc({ outcome }, 0);
  for (const store of STORES) metrics.flushSeconds.zero({ store });
  for (const to of PRESENCE_MOVES) metrics.presenceChanges.inc({ to }, 0);
  for (const act of CREDENTIAL_ACTS) metrics.credentials.inc({ act }, 0);
  for (const on of WAITS) metrics.laneWaits.inc({ on }, 0);
  collectDefaultMetrics({ register: registry });
  return metrics;
}
