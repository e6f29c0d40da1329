/** What the program says of itself. */
import type { TwinstreamError } from "../errors.js";
import type { ObjectsStanding, StoreStanding } from "./standing.js";
import type { CommandState } from "./store.js";

/** How a device's presence changed: it came, or why it went. */
export type PresenceMove = "online" | "silent" | "disconnected";

/**
 * offered: a new password was handed to the device; taken: it acknowledged that; not_taken: it did not, or refused, and keeps
 * the old one; ended: the overlap is over and the old one gone; mended: what a cut-off act had left is gone.
 */
export type CredentialAct =
  "offered" | "taken" | "not_taken" | "ended" | "mended";

/** One fact; the adapter makes of it a log line, a metric, or both. Nothing here is emitted once per message. */
export type TelemetryEvent =
  | {
      type: "messages_decoded";
      telem: number;
      ack: number;
      event: number;
      hello: number;
    }
  | {
      type: "batch_stored";
      partition: number;
      messages: number;
      points: number;
      duplicates: number;
      conflicts: number;
      refused: number;
      seconds: number;
    }
  | { type: "latency"; seconds: number; count: number }
  | { type: "dead_letters"; counts: ReadonlyMap<string, number> }
  | {
      type: "view_written";
      partition: number;
      devices: number;
      messages: number;
      seconds: number;
    }
  | { type: "queue"; messages: number; bytes: number }
  | {
      type: "lag";
      topic: string;
      partition: number;
      lag: number;
      /** Since the newest stored record was put on the log; 0 when nothing waits. */
      behindSeconds: number;
    }
  | { type: "lag_gone"; topic: string; partition: number }
  | { type: "actors"; alive: number }
  | {
      type: "actor_restarted";
      partition: number;
      address: string;
      error: string;
      poison: number;
    }
  | {
      type: "actor_quarantined";
      partition: number;
      address: string;
      untilMs: number;
    }
  | { type: "devices_online"; count: number }
  | { type: "presence_changed"; to: PresenceMove; count: number }
  /** A bridge's beat stopped, or is back; `seconds` since the newest. */
  | { type: "bridge_heard"; bridge: string; alive: boolean; seconds: number }
  | { type: "bridges"; alive: number; down: number }
  | { type: "command"; state: CommandState; count: number }
  | { type: "assigned"; generation: number; partitions: readonly number[] }
  | {
      type: "claimed";
      partition: number;
      epochs: readonly number[];
      offsets: readonly number[];
      kept: boolean;
    }
  | { type: "released"; partition: number; reason: string }
  | {
      type: "lane_waiting";
      partition: number;
      on: "redis" | "database" | "log" | "objects";
      error: string;
      attempt: number;
      delayMs: number;
    }
  | {
      type: "lane_resumed";
      partition: number;
      on: "redis" | "database" | "log" | "objects";
      seconds: number;
    }
  | { type: "lane_refused"; partition: number; error: TwinstreamError }
  | { type: "lane_restarted"; partition: number; error: string }
  | { type: "rebuild_started"; partition: number; from: number; to: number }
  | {
      type: "rebuild_finished";
      partition: number;
      records: number;
      seconds: number;
    }
  | {
      type: "lost_to_retention";
      topic: string;
      partition: number;
      from: number;
      to: number;
    }
  | { type: "bridge_batch"; messages: number; bytes: number; seconds: number }
  | { type: "bridge_window"; messages: number; bytes: number; held: boolean }
  | { type: "bridge_waiting"; error: string; attempt: number; delayMs: number }
  | {
      type: "mqtt_connection";
      role: string;
      connected: boolean;
      detail: string;
    }
  /** A bridge's session delivered by subscriptions that its settings do not have; they are ended. */
  | { type: "filters_left_over"; filters: readonly string[]; topic: string }
  | {
      type: "claims_ended";
      state: "done" | "rejected";
      count: number;
      bytes: number;
    }
  | {
      type: "claim_readings";
      stored: number;
      duplicates: number;
      failed: number;
      seconds: number;
    }
  | { type: "claims_in_work"; count: number; bytes: number }
  | {
      /** Passwords that are to be replaced soon, or should have been; told again and again while there are any. */
      type: "device_credentials_due";
      due: number;
      overdue: number;
      /** Addresses of the first. */
      devices: readonly string[];
    }
  | {
      /** What became of a device's account without anybody asking for it just now. */
      type: "device_credentials";
      act: CredentialAct;
      address: string;
      username: string;
    }
  | {
      /** The live streams of a gateway, every second: how many there are, and what became of frames since the last time. */
      type: "live";
      clients: { readonly sse: number; readonly websocket: number };
      frames: number;
      conflated: number;
      closedSlow: number;
    }
  /** Once a minute or so, by a gateway. */
  | { type: "store_standing"; standing: StoreStanding; atMs: number }
  | { type: "objects_standing"; standing: ObjectsStanding }
  /** A look at a service that a gateway works with. */
  | { type: "dependency"; part: string; ok: boolean; seconds: number }
  | {
      type: "http_request";
      method: string;
      /** The route's pattern, without `/api/v1`; `other` where there is none. */
      route: string;
      status: number;
      seconds: number;
    }
  | { type: "watchdog"; reason: string }
  | {
      /** Who did what, and what came of it: a line that is written whatever LOG_LEVEL says, and never with a secret. */
      type: "audit";
      /** `login`, `refresh`, `logout`, `command`, `upload`, or what an operator did. */
      act: string;
      user: string;
      /** Null where it is not known: a log-in that was refused. */
      tenant: string | null;
      requestId: string;
      outcome: "ok" | "refused" | "failed" | "broken_off";
      /** HTTP status of the answer; null outside HTTP. */
      status: number | null;
      /** What it was done to: a device, a claim, a user. */
      subject: string | null;
      /** Address that it came from; null outside HTTP. */
      from: string | null;
    }
  | { type: "failure"; where: string; error: string };

export interface Observer {
  emit(event: TelemetryEvent): void;
}
