/** What is asked of the database. */
import type {
  DeviceRef,
  DeviceState,
  LastState,
  Row,
  Sensor,
  StoreChange,
} from "../domain/device.js";
import type {
  CommandChange,
  CommandState,
  ToJudge,
  Transition,
} from "../domain/command-life.js";
import type { CommandRequest, DeadLetter } from "../domain/message.js";
import type { Precondition } from "../domain/precondition.js";
import type { LogPlace } from "../domain/replay.js";

export type { CommandChange, CommandState, ToJudge };

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

/** A command that is not in a terminal state. */
export interface OpenCommand {
  readonly device: DeviceRef;
  readonly request: CommandRequest;
  readonly state: CommandState;
  /** Its condition was found to hold and it may have been sent since: it is not judged again, only sent. */
  readonly judged: boolean;
}

export interface PresenceChange {
  readonly device: DeviceRef;
  /** When it was last seen; 0 when never. */
  readonly seenUs: number;
  readonly online: boolean;
  /** Why it is offline; null when online. */
  readonly cause: string | null;
}

/** What is known of a device as it is made known to the database. */
export interface FirstWord {
  readonly presence: PresenceChange | null;
  readonly firmware: string | null;
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
  /** Where the replayed ones of its records lay first: their letters are settled, or fail again. */
  readonly replays: readonly LogPlace[];
  readonly commandChanges: readonly CommandChange[];
  /** Commands to be sent after this flush, if their condition holds by what it leaves stored. */
  readonly toJudge: readonly ToJudge[];
  readonly presence: readonly PresenceChange[];
  /** Ids of devices whose presence and firmware were stored as they were made known. */
  readonly introduced: ReadonlySet<number>;
  /** Go through staging at once: duplicates are expected. */
  readonly expectDuplicates: boolean;
  /** Told where a step of the transaction begins; the answer is called at its end. Only of a flush that is traced. */
  readonly step?: (name: string) => (error?: unknown) => void;
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
      /** Commands inserted by this flush that it has not ended: to be sent now. */
      readonly queued: readonly CommandRequest[];
      /** Of `toJudge`, those whose condition holds: to be sent now. */
      readonly judged: readonly string[];
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
  /**
   * Gives ids to devices and sensors that have none, in a transaction of its own. Answers the ids of the devices that it has
   * made known; what their first words, by address, say is stored with them.
   */
  register(
    partition: number,
    devices: readonly DeviceRef[],
    sensors: readonly Sensor[],
    firstWords?: ReadonlyMap<string, FirstWord>,
  ): Promise<ReadonlySet<number>>;
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
  /** Names of the tenants whose messages are taken: those that are not disabled. */
  tenants(): Promise<ReadonlySet<string>>;
  /** Names of adapters by address, for the devices that have one of their own. */
  registeredAdapters(): Promise<ReadonlyMap<string, string>>;
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
  /** Newest first, by (time, hash); `more` when others follow, after `limit` or after what one answer may hold. */
  events(
    tenant: string,
    deviceId: string,
    options: {
      fromUs: number;
      toUs: number;
      before: EventPlace | null;
      limit: number;
    },
  ): Promise<{ events: readonly EventRecord[]; more: boolean }>;
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
  /** Which of these commands are in a terminal state. */
  endedCommands(
    tenant: string,
    cmdIds: readonly string[],
  ): Promise<ReadonlySet<string>>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Under which idempotency keys commands were given. */
export interface CommandKeys {
  /** The command of this key, unless the key is from before `sinceMs`. */
  find(place: KeyPlace, sinceMs: number): Promise<KeyedCommand | null>;
  /** Puts the command under the key if it is free or from before `sinceMs`, and answers what stands there then. */
  take(
    place: KeyPlace,
    command: KeyedCommand,
    sinceMs: number,
  ): Promise<KeyedCommand>;
  close(): Promise<void>;
}
export interface KeyPlace {
  readonly tenant: string;
  readonly deviceId: string;
  readonly key: string;
}
export interface KeyedCommand {
  readonly cmdId: string;
  readonly createdMs: number;
  /** Hex SHA-256 of the request that gave it. */
  readonly bodyHash: string;
}

export interface DeviceRecord {
  readonly deviceId: string;
  readonly tenant: string;
  readonly site: string | null;
  readonly online: boolean;
  readonly lastSeenUs: number;
  readonly cause: string | null;
}
/** An event's place among those of its device. */
export interface EventPlace {
  readonly timeUs: number;
  /** Hex SHA-256 of its payload. */
  readonly hash: string;
}
export interface EventRecord extends EventPlace {
  readonly receivedUs: number;
  /** JSON text as the device wrote it. */
  readonly payload: string;
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
  readonly supersedes: string | null;
  readonly precondition: Precondition | null;
  readonly history: readonly Transition[];
}
