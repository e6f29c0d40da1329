/**
 * What every fact of ours becomes: a log line, a metric, or both. This is the only place that knows; adding a fact to
 * `TelemetryEvent` does not compile until it stands here. (Over 300 lines: one table.)
 */
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type {
  Clock,
  CredentialAct,
  Observer,
  TelemetryEvent,
} from "../ports.js";
import { createMetrics, type Metrics, WAITS } from "./metrics.js";
import { createRepeats, type Repeats } from "./repeats.js";
import { DEPENDENCIES, setObjects, setStore } from "./standing-metrics.js";

export interface ObserverOptions {
  readonly log: Logger;
  /** A registry that nothing of ours has been declared in yet. */
  readonly registry: Registry;
  readonly clock?: Clock;
  /** DATABASE_DISK_BYTES. */
  readonly databaseDiskBytes?: number;
}

/** Declares all metrics in the registry and answers the observer that moves them. */
export function createObserver(options: ObserverOptions): Observer {
  const metrics = createMetrics(options.registry, options.databaseDiskBytes);
  const repeats = createRepeats(options.clock ?? Date.now);
  const waiting = new Map<string, Set<number>>(
    WAITS.map((on) => [on, new Set()]),
  );
  const { log } = options;
  // Who did what is written whatever the level; only a log that is off altogether stays off.
  const audit = log.level === "silent" ? log : log.child({}, { level: "info" });
  return {
    emit: (event) => record(event, { log, audit, metrics, repeats, waiting }),
  };
}

interface Sinks {
  readonly log: Logger;
  readonly audit: Logger;
  readonly metrics: Metrics;
  readonly repeats: Repeats;
  /** Partitions that wait, by what they wait for: an outage is over for the log once none is left. */
  readonly waiting: ReadonlyMap<string, Set<number>>;
}

function record(event: TelemetryEvent, sinks: Sinks): void {
  const { log, audit, metrics, repeats, waiting } = sinks;
  /** For facts that repeat: the line only when it is due, with how many were left out. */
  const seldom = (
    level: "info" | "warn" | "error",
    key: string,
    fields: object,
    text: string,
  ): void => {
    const left = repeats.due(key);
    if (left !== null)
      log[level](left > 0 ? { ...fields, left_out: left } : fields, text);
  };

  switch (event.type) {
    case "messages_decoded":
      metrics.messages.inc({ type: "telem" }, event.telem);
      metrics.messages.inc({ type: "ack" }, event.ack);
      metrics.messages.inc({ type: "event" }, event.event);
      metrics.messages.inc({ type: "hello" }, event.hello);
      return;
    case "batch_stored":
      metrics.points.inc(event.points);
      metrics.duplicates.inc(event.duplicates);
      metrics.batchSize.observe(event.messages);
      metrics.flushSeconds.observe({ store: "database" }, event.seconds);
      log.debug(facts(event), "batch stored");
      return;
    case "latency":
      // A device or bridge whose clock is ahead arrives in the future.
      metrics.latency.observe(Math.max(0, event.seconds), event.count);
      return;
    case "dead_letters":
      for (const [reason, count] of event.counts)
        metrics.errors.inc({ reason }, count);
      return seldom(
        "warn",
        `dead_letters ${[...event.counts.keys()].toSorted().join()}`,
        { counts: Object.fromEntries(event.counts) },
        "messages kept as dead letters; ingest_errors has each with its reason",
      );
    case "view_written":
      metrics.flushSeconds.observe({ store: "redis" }, event.seconds);
      log.trace(facts(event), "view written");
      return;
    case "queue":
      metrics.queueSize.set(event.messages);
      metrics.queueBytes.set(event.bytes);
      return;
    case "lag": {
      const at = { topic: event.topic, partition: event.partition };
      metrics.lag.set(at, event.lag);
      metrics.behind.set(at, event.behindSeconds);
      return;
    }
    case "lag_gone": {
      const at = { topic: event.topic, partition: event.partition };
      metrics.lag.remove(at);
      metrics.behind.remove(at);
      return;
    }
    case "actors":
      metrics.actorsAlive.set(event.alive);
      return;
    case "actor_restarted":
      metrics.actorRestarts.inc();
      return seldom(
        "warn",
        `actor_restarted ${event.error}`,
        facts(event),
        "device actor failed on a batch and was restarted",
      );
    case "actor_quarantined":
      metrics.actorQuarantines.inc();
      return seldom(
        "warn",
        `actor_quarantined ${event.address}`,
        { ...facts(event), until: new Date(event.untilMs).toISOString() },
        "device quarantined: its messages go to the dead letters until then",
      );
    case "devices_online":
      metrics.devicesOnline.set(event.count);
      return;
    case "presence_changed":
      metrics.presenceChanges.inc({ to: event.to }, event.count);
      return;
    case "bridges":
      metrics.bridges.set({ state: "alive" }, event.alive);
      metrics.bridges.set({ state: "down" }, event.down);
      return;
    case "bridge_heard":
      log[event.alive ? "info" : "warn"](
        facts(event),
        event.alive
          ? "a bridge is heard again"
          : "a bridge is not heard; no device is called silent until it is back",
      );
      return;
    case "command":
      metrics.commands.inc({ state: event.state }, event.count);
      return;
    case "assigned":
      metrics.lanesAssigned.set(event.partitions.length);
      log.info(facts(event), "partitions assigned");
      return;
    case "claimed":
      if (!event.kept) clearLane(event.partition, sinks);
      log.info(facts(event), "partition claimed");
      return;
    case "released":
      clearLane(event.partition, sinks);
      log.info(facts(event), "partition let go");
      return;
    case "lane_waiting":
      metrics.laneWaiting.set({ partition: event.partition, on: event.on }, 1);
      metrics.laneWaits.inc({ on: event.on });
      waiting.get(event.on)?.add(event.partition);
      return seldom(
        "warn",
        `lane_waiting ${event.on}`,
        facts(event),
        `waiting for ${event.on}; nothing is lost, the log keeps what comes`,
      );
    case "lane_resumed": {
      metrics.laneWaiting.remove({ partition: event.partition, on: event.on });
      const still = waiting.get(event.on);
      still?.delete(event.partition);
      if (still?.size === 0) repeats.forget(`lane_waiting ${event.on}`);
      log.info(facts(event), `${event.on} answers again`);
      return;
    }
    case "lane_refused":
      metrics.laneRefused.set({ partition: event.partition }, 1);
      log.error(
        {
          partition: event.partition,
          code: event.error.code,
          error: event.error.message,
        },
        "partition stands still until a person decides",
      );
      return;
    case "lane_restarted":
      metrics.laneRestarts.inc();
      return seldom(
        "error",
        `lane_restarted ${event.partition}`,
        facts(event),
        "partition begins again from its stored offset",
      );
    case "rebuild_started":
      metrics.laneRebuilding.set({ partition: event.partition }, 1);
      log.info(facts(event), "making the view in Redis anew from the log");
      return;
    case "rebuild_finished":
      metrics.laneRebuilding.remove({ partition: event.partition });
      metrics.rebuildRecords.inc(event.records);
      log.info(facts(event), "the view in Redis is complete again");
      return;
    case "lost_to_retention":
      metrics.lostToRetention.inc(event.to - event.from);
      log.error(
        facts(event),
        "records were gone from the log before they were read",
      );
      return;
    case "bridge_batch":
      metrics.bridgeMessages.inc(event.messages);
      metrics.bridgeBytes.inc(event.bytes);
      metrics.bridgeSeconds.observe(event.seconds);
      repeats.forget("bridge_waiting");
      return;
    case "bridge_window":
      metrics.bridgeWindow.set(event.messages);
      metrics.bridgeWindowBytes.set(event.bytes);
      metrics.bridgeHeld.set(event.held ? 1 : 0);
      return;
    case "bridge_waiting":
      metrics.bridgeWaits.inc();
      return seldom(
        "warn",
        "bridge_waiting",
        facts(event),
        "waiting for the log; messages stay with the broker, unacknowledged",
      );
    case "mqtt_connection":
      metrics.mqttConnected.set({ role: event.role }, event.connected ? 1 : 0);
      if (!event.connected) metrics.errors.inc({ reason: "mqtt_error" });
      return seldom(
        event.connected ? "info" : "warn",
        `mqtt ${event.role} ${event.connected} ${event.detail}`,
        // The line has a role already: the process's.
        {
          connection: event.role,
          connected: event.connected,
          detail: event.detail,
        },
        event.connected
          ? "connected to the MQTT broker"
          : "no connection to the MQTT broker; trying again",
      );
    case "filters_left_over":
      return seldom(
        "warn",
        `filters_left_over ${event.filters.join()}`,
        facts(event),
        "ended subscriptions that the session had from earlier settings; what they delivered until now is on the log",
      );
    case "claims_ended":
      metrics.claims.inc({ state: event.state }, event.count);
      metrics.claimBytes.inc(event.bytes);
      return;
    case "claim_readings":
      metrics.claimReadings.inc({ outcome: "stored" }, event.stored);
      metrics.claimReadings.inc({ outcome: "duplicate" }, event.duplicates);
      metrics.claimReadings.inc({ outcome: "failed" }, event.failed);
      metrics.flushSeconds.observe({ store: "database" }, event.seconds);
      log.debug(facts(event), "readings of uploads stored");
      return;
    case "claims_in_work":
      metrics.claimsInWork.set(event.count);
      metrics.claimBytesInWork.set(event.bytes);
      return;
    case "device_credentials_due":
      metrics.credentialsDue.set(event.due);
      metrics.credentialsOverdue.set(event.overdue);
      if (event.due === 0) return;
      return seldom(
        "warn",
        "device_credentials_due",
        facts(event),
        "passwords of devices are to be replaced: twinstream devices list --due",
      );
    case "device_credentials":
      metrics.credentials.inc({ act: event.act });
      log[event.act === "not_taken" ? "warn" : "info"](
        facts(event),
        CREDENTIAL_TEXT[event.act],
      );
      return;
    case "live":
      metrics.liveClients.set({ kind: "sse" }, event.clients.sse);
      metrics.liveClients.set({ kind: "websocket" }, event.clients.websocket);
      metrics.liveFrames.inc(event.frames);
      metrics.liveConflated.inc(event.conflated);
      metrics.liveClosedSlow.inc(event.closedSlow);
      return;
    case "store_standing":
      setStore(metrics.standing, event.standing, event.atMs);
      return;
    case "objects_standing":
      setObjects(metrics.standing, event.standing);
      return;
    case "dependency": {
      const part = DEPENDENCIES.find((one) => one === event.part);
      if (part === undefined) return;
      metrics.standing.dependencyUp.set({ part }, event.ok ? 1 : 0);
      metrics.standing.dependencySeconds.set({ part }, event.seconds);
      return;
    }
    case "http_request":
      metrics.standing.requests.inc({
        method: event.method,
        route: event.route,
        status: `${Math.floor(event.status / 100)}xx`,
      });
      metrics.standing.requestSeconds.observe(event.seconds);
      return;
    case "watchdog":
      log.fatal(
        facts(event),
        "no progress: ending this process so that its supervisor starts it again",
      );
      return;
    case "audit":
      audit.info(facts(event), "audit");
      return;
    case "failure":
      metrics.failures.inc();
      return seldom(
        "error",
        `failure ${event.where} ${event.error}`,
        facts(event),
        "something failed",
      );
    default:
      event satisfies never;
  }
}

const CREDENTIAL_TEXT: Readonly<Record<CredentialAct, string>> = {
  offered:
    "a new password was handed to the device, which is to acknowledge it",
  taken: "the device acknowledged its new password; the old one retires",
  not_taken:
    "the device did not take its new password and keeps the old one; rotate it by hand",
  ended: "the overlap is over; the device's old password works no longer",
  mended: "an account that a cut-off act had left was removed",
};

/** A partition begins anew or goes: what was said of it no longer holds. */
function clearLane(partition: number, sinks: Sinks): void {
  for (const [on, partitions] of sinks.waiting) {
    partitions.delete(partition);
    sinks.metrics.laneWaiting.remove({ partition, on });
  }
  sinks.metrics.laneRefused.remove({ partition });
  sinks.metrics.laneRebuilding.remove({ partition });
}

/** The event's own fields as fields of the line. */
function facts(event: TelemetryEvent): object {
  const { type: _, ...fields } = event;
  return fields;
}
