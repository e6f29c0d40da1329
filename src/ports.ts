/**
 * What the pipeline asks of the outside, in the domain's verbs. No connection, client or transaction type shows here;
 * each port has one adapter (and an in-memory double in the tests that passes the same conformance suite).
 *
 * Errors: adapters throw `TwinstreamError`; `canRetry` says whether the same call may succeed later.
 */
import type {
  DeviceRef,
  DeviceState,
  Effects,
  LastState,
  Row,
  Sensor,
  StoreChange,
  ViewChange,
} from "./domain/device.js";
import type {
  CommandRequest,
  DeadLetter,
  LogHeaders,
  LogRecord,
  Message,
} from "./domain/message.js";
import type { TwinstreamError } from "./errors.js";

/** Unix milliseconds. */
export type Clock = () => number;

// ---------------------------------------------------------------- the log

export interface OutgoingRecord {
  readonly key: string | null;
  readonly value: Buffer | null;
  readonly headers?: LogHeaders;
  /** Explicit partition; without it murmur2 of the key. */
  readonly partition?: number;
}

export interface LogWriter {
  /** Resolves once every record is acknowledged by all in-sync replicas; records of one key keep their order. */
  append(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
}

/** First offset still there, and the offset that the next record will get. */
export interface LogBounds {
  readonly low: number;
  readonly high: number;
}

export interface LogInspector {
  clusterId(): Promise<string>;
  /** By partition number. */
  bounds(topic: string): Promise<LogBounds[]>;
  /** Offset of the first record at or after a log time (Unix ms), by partition; `high` when there is none. */
  offsetsAt(topic: string, timestampMs: number): Promise<number[]>;
  /** Reads [from, to) of one partition in batches, in order, outside any consumer group of ours. */
  read(
    range: { topic: string; partition: number; from: number; to: number },
    each: (records: LogRecord[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** The processor's membership in its consumer group, by partition number (a lane covers all topics of a number). */
export interface LaneFeed {
  /** Joins and consumes until `stop`. Resolves once the group is joined. */
  start(handler: LaneFeedHandler): Promise<void>;
  /** Continue this partition at an offset, from the next fetch on. */
  seek(topic: string, partition: number, offset: number): void;
  /** Stop or go on fetching for all topics of a partition number. */
  pause(partition: number): void;
  resume(partition: number): void;
  /**
   * Tells the group how far a partition is stored, for lag and for people. Dropped when the assignment `generation` is no
   * longer the current one, or when it would go backwards; nothing is decided by it.
   */
  commit(
    generation: number,
    offsets: readonly { topic: string; partition: number; offset: number }[],
  ): Promise<void>;
  /** Leaves the group. */
  stop(): Promise<void>;
  health(): FeedHealth;
}

/** What the watchdog looks at; times are Unix milliseconds, 0 for never. */
export interface FeedHealth {
  readonly running: boolean;
  /** Why the consumer died for good; null while it lives. */
  readonly crashed: string | null;
  readonly lastFetchMs: number;
  readonly lastHeartbeatMs: number;
  readonly lastJoinMs: number;
}

export interface LaneFeedHandler {
  /** The whole assignment after each rebalance. All its partitions are paused until resumed. Must not throw. */
  assigned(generation: number, partitions: readonly number[]): void;
  /**
   * A fetched batch, in order. Returns false when it was not taken (it will be fetched again); `high` is the end of the
   * partition as the fetch saw it. Resolves when the next fetch may go on; called with a heartbeat running. Must not throw.
   */
  batch(
    topic: string,
    partition: number,
    records: LogRecord[],
    high: number,
  ): Promise<boolean>;
}

// ---------------------------------------------------------------- Redis: the view

export interface ViewWrite {
  readonly changes: readonly ViewChange[];
  /** Whether to publish (a rebuild does not). */
  readonly publish: boolean;
  /** Compare-and-set of the mark at the end of the write; null while a rebuild moves it. */
  readonly mark: {
    topic: string;
    partition: number;
    from: number;
    to: number;
  } | null;
}

export interface DeviceView {
  /**
   * One pipeline. Repeating a write changes nothing but repeats its publishes. Answers whether the mark stood at `from`
   * (or already at `to`) and is now `to`; the other writes take effect either way.
   */
  write(write: ViewWrite): Promise<{ marked: boolean }>;
  /** How far the view is written; null when Redis does not know. */
  mark(topic: string, partition: number): Promise<number | null>;
  /** Set it whatever it was (null removes it): a rebuild's start and steps. */
  setMark(
    topic: string,
    partition: number,
    offset: number | null,
  ): Promise<void>;
  /** Which of these have no last state. */
  missingLast(devices: readonly DeviceRef[]): Promise<DeviceRef[]>;
  /** Takes devices that fell silent out of the online set, unless seen again after `seenBeforeUs`, and publishes the change. */
  offline(
    changes: readonly { device: DeviceRef; seenUs: number; cause: string }[],
  ): Promise<void>;
  /** Called after each reconnect: the mark may have gone back. */
  onReconnect(listener: () => void): void;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** What the gateway reads. */
export interface DeviceViewReader {
  last(address: string): Promise<{ payload: string; timestamp: number } | null>;
  /** Messages of the history with score in [fromS, toS], oldest first, at most `limit`, after skipping `offset`. */
  history(
    address: string,
    fromS: number,
    toS: number,
    offset: number,
    limit: number,
  ): Promise<string[]>;
  /** Devices of a tenant seen at or after (Unix seconds), with the time of it; null when Redis has no such set. */
  online(
    tenant: string,
    sinceS: number,
  ): Promise<{ deviceId: string; seenS: number }[] | null>;
  /** When each of these was last seen (Unix seconds; null when it is not in the set); null when Redis has no such set. */
  seen(
    tenant: string,
    deviceIds: readonly string[],
  ): Promise<(number | null)[] | null>;
  /** Remembers for an hour that a command was accepted, until its row is there. */
  rememberCommand(address: string, command: AcceptedCommand): Promise<void>;
  acceptedCommand(
    address: string,
    cmdId: string,
  ): Promise<AcceptedCommand | null>;
  ping(): Promise<void>;
  close(): Promise<void>;
}
export interface AcceptedCommand {
  readonly cmdId: string;
  readonly op: string;
  readonly params: unknown;
  readonly createdMs: number;
  readonly expiresMs: number;
}

// ---------------------------------------------------------------- the database

/** Where a partition of a topic stands, as its fence row says. */
export interface Claim {
  readonly topic: string;
  /** -1 when nothing was ever stored. */
  readonly nextOffset: number;
  /** This claim's epoch; the one before it was `epoch - 1`. */
  readonly epoch: number;
  /** Cluster id that the offsets belong to; null when nothing was ever stored. */
  readonly clusterId: string | null;
  /** Log time (ms) of the record at nextOffset - 1; null when unknown. */
  readonly lastRecordMs: number | null;
}

/** A move of the fence: only from the offset and epoch that this process knows. */
export interface FenceMove {
  readonly topic: string;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly lastRecordMs: number | null;
}

export type CommandState =
  "accepted" | "queued" | "sent" | "delivered" | "acked" | "failed" | "expired";

/** Evidence that changes a command's state, other than its request and the device's ack. */
export interface CommandChange {
  readonly cmdId: string;
  readonly state: "queued" | "sent" | "delivered" | "expired";
  readonly atUs: number;
  readonly evidence: string;
}

/** A command that is not in a terminal state. */
export interface OpenCommand {
  readonly device: DeviceRef;
  readonly request: CommandRequest;
  readonly state: CommandState;
}

export interface PresenceChange {
  readonly device: DeviceRef;
  readonly seenUs: number;
  readonly online: boolean;
  /** Why it is offline; null when online. */
  readonly cause: string | null;
}

/** Everything that one transaction stores. */
export interface Flush {
  readonly partition: number;
  readonly owner: string;
  readonly clusterId: string;
  /** In topic order; `from` equals `to` where only the claim is to be checked. */
  readonly fence: readonly FenceMove[];
  /** In log order. All devices and sensors in it are registered. */
  readonly changes: readonly StoreChange[];
  /** Records that never reached an actor. */
  readonly deadLetters: readonly DeadLetter[];
  readonly commandChanges: readonly CommandChange[];
  readonly presence: readonly PresenceChange[];
  /** Go through staging at once: duplicates are expected. */
  readonly expectDuplicates: boolean;
}

export interface RefusedRow {
  readonly row: Row;
  readonly detail: string;
}

export type FlushResult =
  /** The transaction is committed (or an earlier try of it was). */
  | {
      readonly fence: "moved";
      readonly stored: number;
      readonly duplicates: number;
      readonly conflicts: number;
      readonly refused: number;
      /** Commands inserted by this flush: to be sent now. */
      readonly queued: readonly CommandRequest[];
      /** Commands that this flush ended. */
      readonly ended: readonly { cmdId: string; state: CommandState }[];
      /** Whether rows met others of the same sensor and time. */
      readonly sawDuplicates: boolean;
    }
  /** The earlier try of this flush had been committed; its counts are unknown. */
  | { readonly fence: "already" }
  /** The epoch is ours but the offset is another: someone adopted or rewound; claim again. */
  | { readonly fence: "elsewhere" }
  /** A newer claim exists. */
  | { readonly fence: "lost" };

/** What the database remembers of a device when its actor wakes. */
export interface StoredDevice {
  readonly state: DeviceState;
  readonly lastSeenUs: number;
  readonly online: boolean;
}

export interface TelemetryStore {
  /** Raises the epoch of these topics' partition and answers where they stand (see the fence in `deploy/decisions`). */
  claim(
    topics: readonly string[],
    partition: number,
    owner: string,
  ): Promise<Claim[]>;
  /** One round trip; devices that the database does not know are absent from the answer. */
  wake(devices: readonly DeviceRef[]): Promise<Map<string, StoredDevice>>;
  /** Newest value of each sensor as a v1 payload, for devices whose last state Redis has lost. */
  newest(devices: readonly DeviceRef[]): Promise<Map<string, LastState>>;
  /** Gives ids to devices and sensors that have none, in a transaction of its own. */
  register(
    partition: number,
    devices: readonly DeviceRef[],
    sensors: readonly Sensor[],
  ): Promise<void>;
  /**
   * One transaction. `beforeCommit` is called once rows are in, with those the database refused, and must have put the
   * dead letters on the log before it resolves; the transaction commits only then.
   */
  flush(
    flush: Flush,
    beforeCommit: (refused: readonly RefusedRow[]) => Promise<void>,
  ): Promise<FlushResult>;
  /** Commands of this partition that are not in a terminal state, oldest first. */
  openCommands(partition: number): Promise<OpenCommand[]>;
  /** Devices of this partition that are on record as online. */
  onlineDevices(
    partition: number,
  ): Promise<{ device: DeviceRef; lastSeenUs: number }[]>;
  /** Names of the tenants whose messages are taken. */
  tenants(): Promise<ReadonlySet<string>>;
  /** Writes down that [from, to) of a partition was gone from the log before it was read. */
  noteGap(
    topic: string,
    partition: number,
    from: number,
    to: number,
  ): Promise<void>;
  /** Retention on plain tables, dead letters past their time, aggregates over late rows; one process at a time does it. */
  maintain(): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** What the gateway reads; always within one tenant. */
export interface DeviceRecords {
  devices(
    tenant: string,
    options: {
      onlineSinceUs: number | null;
      after: string | null;
      limit: number;
    },
  ): Promise<DeviceRecord[]>;
  device(tenant: string, deviceId: string): Promise<DeviceRecord | null>;
  /** Newest values as a v1 payload. */
  newest(tenant: string, deviceId: string): Promise<LastState | null>;
  commands(
    tenant: string,
    deviceId: string,
    options: { before: string | null; limit: number },
  ): Promise<CommandRecord[]>;
  command(
    tenant: string,
    deviceId: string,
    cmdId: string,
  ): Promise<CommandRecord | null>;
  ping(): Promise<void>;
  close(): Promise<void>;
}
export interface DeviceRecord {
  readonly deviceId: string;
  readonly tenant: string;
  readonly site: string | null;
  readonly online: boolean;
  readonly lastSeenUs: number;
  readonly cause: string | null;
}
export interface CommandRecord {
  readonly cmdId: string;
  readonly deviceId: string;
  readonly op: string;
  readonly params: unknown;
  readonly by: string;
  readonly state: CommandState;
  readonly ok: boolean | null;
  readonly err: string | null;
  readonly createdUs: number;
  readonly expiresUs: number;
  readonly history: readonly { state: string; at: string; evidence: string }[];
}

// ---------------------------------------------------------------- MQTT

/** A packet from the broker. It stays unacknowledged until `acknowledge`. */
export interface InboundPacket {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
  readonly retain: boolean;
  /** 0 for QoS 0. */
  readonly packetId: number;
  readonly arrivalMs: number;
  /** The connection it came on; acknowledging after a reconnect does nothing. */
  readonly connection: number;
}

export interface PacketSource {
  /** Connects, resumes or makes the session, subscribes. Resolves once subscribed. */
  start(onPacket: (packet: InboundPacket) => void): Promise<void>;
  /** Sends the PUBACKs of these packets, in the order given, dropping those of an earlier connection. */
  acknowledge(packets: readonly InboundPacket[]): void;
  /** Stop reading from the socket, and go on: the back-pressure where the broker knows no receive maximum. */
  hold(): void;
  release(): void;
  connected(): boolean;
  /** Disconnects and leaves the session with the broker. */
  stop(): Promise<void>;
}

/** The broker's answer to a command. */
export type Delivery = "delivered" | "no_subscriber";

export interface CommandLink {
  /** Publishes a command to its device, QoS 1, expiring with it; resolves with the broker's answer. */
  send(
    device: DeviceRef,
    request: CommandRequest,
    now: number,
  ): Promise<Delivery>;
  connected(): boolean;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- actors

/** One message of the router to the actors of a lane: all that a batch holds for each device, in log order. */
export type Groups = ReadonlyMap<string, readonly Message[]>;

/** The device actors of one partition. */
export interface LaneActors {
  has(address: string): boolean;
  /** Spawns an actor with the state it wakes with. */
  spawn(state: DeviceState): void;
  /** One message an actor; settles when every actor has answered, whatever became of single messages. */
  apply(groups: Groups, nowMs: number): Promise<Effects[]>;
  /** Live actors. */
  readonly size: number;
  /** Lets the least recently used idle ones go until at most `keep` are left, sparing those in `busy`. */
  passivate(
    keep: number,
    idleSinceMs: number,
    busy: (address: string) => boolean,
  ): number;
  /** Lets all go. */
  stop(): void;
}

export interface DeviceActors {
  /** `failed` is called when an actor failed outside of what its supervision handles. */
  open(partition: number, failed: (error: unknown) => void): LaneActors;
  stop(): void;
}

// ---------------------------------------------------------------- telemetry of our own

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
  | { type: "lag"; topic: string; partition: number; lag: number }
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
      on: "redis" | "database" | "log";
      error: string;
      attempt: number;
      delayMs: number;
    }
  | {
      type: "lane_resumed";
      partition: number;
      on: "redis" | "database" | "log";
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
  | { type: "watchdog"; reason: string }
  | { type: "failure"; where: string; error: string };

export interface Observer {
  emit(event: TelemetryEvent): void;
}
