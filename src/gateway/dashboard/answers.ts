/** What the gateway's routes answer, as far as the page reads it. */

/** GET /ui/gateway.json */
export interface GatewayFacts {
  readonly auth: "on" | "off";
  readonly history_hours: number;
  readonly offline_timeout_s: number;
  readonly raw_retention_days: number;
}

export interface Me {
  readonly username: string;
  readonly tenant: string;
  readonly role: "viewer" | "operator" | "admin";
}

export interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
  /** Seconds. */
  readonly expires_in: number;
}

export interface ListedDevice {
  readonly device_id: string;
  readonly online: boolean;
  readonly last_seen: string | null;
  readonly cause: string | null;
}

export interface DeviceState extends ListedDevice {
  /** Unix seconds of the newest message. */
  readonly timestamp: number | null;
  readonly payload: unknown;
}

export interface FleetSummary {
  readonly at: string;
  readonly tenant: string;
  readonly devices: {
    readonly known: number | null;
    readonly online: number | null;
    readonly offline: number | null;
    readonly stale: number | null;
    readonly quarantined: number | null;
  };
  readonly states: {
    readonly asked: number;
    readonly counts: readonly {
      readonly state: string | null;
      readonly devices: number;
    }[];
  } | null;
  readonly system: {
    readonly messages_per_s: number | null;
    readonly lag: number | null;
  };
  readonly dead_letters: number | null;
}

export interface Health {
  readonly status: "ok" | "degraded";
  readonly checked_at: string;
  readonly parts: readonly {
    readonly part: string;
    readonly ok: boolean | null;
    readonly latency_ms: number | null;
    readonly reason: string | null;
  }[];
}

export interface Bucket {
  readonly bucket: string;
  readonly avg_value: number | null;
  readonly max_value: number | null;
  readonly min_value: number | null;
}

export interface Reading {
  readonly ts: string;
  readonly value: number | boolean | string | null;
}

export interface Series {
  readonly sensor_uuid: string;
  readonly type_class: "num" | "bool" | "text";
  readonly unit: string | null;
  readonly buckets?: readonly Bucket[];
  readonly readings?: readonly Reading[];
}

export interface HistoryAnswer {
  readonly resolution: "raw" | "hour" | "day";
  readonly series: readonly Series[];
  readonly next: string | null;
}

export type CommandState =
  | "accepted"
  | "queued"
  | "sent"
  | "delivered"
  | "acked"
  | "failed"
  | "expired"
  | "rejected"
  | "canceled"
  | "superseded";

export interface Command {
  readonly cmd_id: string;
  readonly device_id: string;
  readonly op: string;
  readonly params: unknown;
  readonly state: CommandState;
  readonly ok: boolean | null;
  readonly err: string | null;
  readonly history: readonly {
    readonly state: CommandState;
    readonly at: string;
    readonly evidence: unknown;
  }[];
  readonly by?: string;
  readonly supersedes?: string | null;
  readonly precondition?: {
    readonly point: string;
    readonly op: string;
    readonly value: unknown;
  } | null;
  readonly created_at: string;
  readonly expires_at: string;
}

export interface DeviceEvent {
  readonly time: string;
  readonly received_at: string;
  readonly payload: unknown;
}

export interface Explanation {
  readonly point: string;
  readonly at: string;
  readonly outcome: string;
  readonly why: string;
  readonly value: number | boolean | string | null;
  readonly stored_at: string | null;
  readonly record: Readonly<Record<string, unknown>> | null;
  readonly letter: { readonly id: number; readonly reason: string } | null;
  readonly claim_id: string | null;
  readonly nearest: {
    readonly earlier: string | null;
    readonly later: string | null;
  };
  readonly searched: {
    readonly topic: string;
    readonly partition: number;
    readonly from: number;
    readonly to: number;
    readonly records: number;
  };
}

export interface LetterCause {
  readonly fingerprint: string;
  readonly reason: string;
  readonly adapter: string | null;
  readonly firmware: string | null;
  readonly cause: string;
  readonly messages: number;
  readonly devices: number;
  readonly first_at: string;
  readonly last_at: string;
}

export interface Letter {
  readonly id: number;
  readonly device_id: string | null;
  readonly topic: string;
  readonly reason: string;
  readonly detail: string;
  readonly attempts: number;
  readonly at: string;
  readonly state: "open" | "replaying" | "stored" | "dropped";
  readonly replayable: boolean;
  readonly why_not?: string;
  readonly payload_size: number;
  readonly truncated: boolean;
  readonly payload?: string;
  readonly payload_base64?: string;
  readonly log: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly item: number;
  };
}

export interface Rehearsal {
  readonly stored: { readonly messages: number; readonly points: number };
  readonly noted: number;
  readonly failed: Readonly<Record<string, number>>;
  readonly gone: number;
}

export interface ReplayRun {
  readonly run: string;
  readonly appended: number;
  readonly gone: number;
  readonly complete: boolean;
}

export interface Quarantined {
  readonly device_id: string;
  readonly until: string;
}

export interface Claim {
  readonly claim_id: string;
  readonly state: "stored" | "processing" | "done" | "rejected";
  readonly equipments: {
    readonly total: number | null;
    readonly stored: number;
    readonly failed: number;
  };
  readonly readings: {
    readonly stored: number;
    readonly duplicate: number;
    readonly failed: number;
  };
  readonly errors: readonly {
    readonly path: string;
    readonly reason: string;
  }[];
  readonly received_at: string;
  readonly finished_at: string | null;
  readonly by?: string;
  readonly file_size?: number;
}

/** The full message, as Redis and the live stream have it. */
export interface FullMessage {
  readonly device_id: string;
  readonly payload: unknown;
  /** Unix seconds. */
  readonly timestamp: number;
}
