/**
 * The device: its state, and the one pure decision that everything turns on.
 *
 * Glossary
 * - address: `device_id` in tenant `default`, else `tenant/device_id`; the key of every record and the name of its actor.
 * - record: an entry of the log, at (topic, partition, offset). message: what a record says once decoded.
 * - reading: one value of one sensor at one instant; a message of n points holds n readings.
 * - sensor: a point's (tenant, device, name, type class), known to the database by an integer.
 * - lane: everything of one partition number (telemetry and commands), in log order, within one process.
 * - hot stage: decode → actors → Redis. cold stage: gather → one database transaction (the flush) → offset commit.
 * - fence: the row of `stream_offsets` that says how far a partition is stored and by which claim (epoch).
 * - view: what Redis shows; it can always be rebuilt from the log and the database.
 * - mark: how far of a partition the view has been written.
 * - slot: of a device's commands of one slot the latest is the one to be executed.
 * - dead letter: a record or reading kept with its reason instead of being stored.
 * - passivate: let an idle actor go; its device wakes again with its next message.
 */
import type {
  AckMessage,
  CancelRequest,
  CommandRequest,
  DeadLetter,
  EventMessage,
  LogRecord,
  TypeClass,
} from "./message.js";
import { NO_SENSORS, type Sensors } from "./sensors.js";

/** A device as the database knows it. `equipmentId` is 0 until it is registered, which the flush does. */
export interface DeviceRef {
  readonly address: string;
  readonly tenant: string;
  readonly deviceId: string;
  readonly site: string | null;
  equipmentId: number;
}

/** A sensor as the database knows it. `id` is 0 until it is registered, which the flush does. */
export interface Sensor {
  readonly device: DeviceRef;
  readonly name: string;
  readonly typeClass: TypeClass;
  readonly type: string;
  readonly unit: string | null;
  id: number;
}

/** Where a message stands among those of its device: the newest is the latest by (orderUs, offset). */
export interface Order {
  /** See `orderOf` in decide.ts. */
  readonly orderUs: number;
  readonly offset: number;
}

/** The newest message of a device. */
export interface LastState extends Order {
  readonly timeUs: number;
  /** JSON text of the device's payload. */
  readonly payload: string;
}

/** What an actor holds. Values are never changed in place, but for the ids that registration fills in. */
export interface DeviceState {
  readonly device: DeviceRef;
  readonly sensors: Sensors;
  /** Of its newest message, which Redis holds; null when nothing is known of one. */
  readonly last: Order | null;
  /** Newest arrival that showed it alive, microseconds; 0 when there was none. */
  readonly seenUs: number;
  /** Ids of the last 16 messages without a time of their own, oldest first. */
  readonly untimed: readonly string[];
  /** Messages go to the dead letters until then (Unix milliseconds); 0 when not in quarantine. */
  readonly quarantinedUntilMs: number;
  /** As its newest message with one said; null when none did. */
  readonly firmware: string | null;
}

const NO_IDS: readonly string[] = [];

/** Of a device of which nothing is known. */
export const newState = (device: DeviceRef): DeviceState => ({
  device,
  sensors: NO_SENSORS,
  last: null,
  seenUs: 0,
  untimed: NO_IDS,
  quarantinedUntilMs: 0,
  firmware: null,
});

/** One reading on its way to the database. */
export interface Row {
  readonly sensor: Sensor;
  readonly timeUs: number;
  readonly value: number | null;
  readonly text: string | null;
  readonly source: LogRecord;
  readonly item: number;
}

/** A device's own word, or its last will, that it is gone. */
export interface Gone {
  /** Arrival of that word, microseconds. */
  readonly atUs: number;
  /** When the device was last seen before; 0 when never. */
  readonly seenUs: number;
}

/** What Redis is to show of one device after one batch. */
export interface ViewChange {
  readonly device: DeviceRef;
  /** Messages within the history window: score in Unix seconds, member the full message's JSON. */
  readonly history: readonly HistoryEntry[];
  /** The full messages to publish, in log order. */
  readonly publish: readonly string[];
  readonly last: LastState | null;
  /** Newest arrival in the batch that shows the device alive, microseconds; 0 when there is none. */
  readonly seenUs: number;
  /** Set when it said in the batch that it is gone, and nothing after that showed it alive. */
  readonly gone: Gone | null;
}
export interface HistoryEntry {
  readonly score: number;
  readonly member: string;
}

/** What the database is to hold of one device after one batch. */
export interface StoreChange {
  readonly device: DeviceRef;
  readonly rows: readonly Row[];
  readonly acks: readonly AckMessage[];
  /** In log order. */
  readonly commands: readonly (CommandRequest | CancelRequest)[];
  readonly events: readonly EventMessage[];
  readonly deadLetters: readonly DeadLetter[];
  /** Newest arrival in the batch, microseconds; 0 when nothing in it shows that the device lives. */
  readonly seenUs: number;
  /** As in the view. */
  readonly gone: Gone | null;
  /** The new list when it changed. */
  readonly untimed: readonly string[] | null;
  /** The new quarantine end (Unix milliseconds, 0 for released) when it changed. */
  readonly quarantinedUntilMs: number | null;
  /** The new one when it changed. */
  readonly firmware: string | null;
}

/** How the records of a batch ended, for the counters (`noted`: hello, state, bulk note, release, command, cancel). */
export interface Outcome {
  readonly data: number;
  readonly hello: number;
  readonly ack: number;
  readonly event: number;
  readonly noted: number;
  readonly points: number;
  /** Messages known again as redelivered ones. */
  readonly duplicates: number;
}

export interface Effects {
  readonly view: ViewChange;
  readonly store: StoreChange;
  readonly outcome: Outcome;
}
