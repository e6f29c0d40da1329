/** What the in-memory double of the TelemetryStore holds. */
import type { DeviceRef, Row, Sensor } from "../../src/domain/device.js";
import type {
  AckMessage,
  CommandRequest,
  DeadLetter,
  EventMessage,
  TypeClass,
} from "../../src/domain/message.js";
import type { Transition } from "../../src/domain/command-life.js";
import type { CommandState, Flush } from "../../src/ports.js";

export interface MemoryRow {
  readonly address: string;
  readonly name: string;
  readonly typeClass: TypeClass;
  readonly timeUs: number;
  readonly value: number | null;
  readonly text: string | null;
}
export interface MemoryFence {
  nextOffset: number;
  epoch: number;
  owner: string;
  clusterId: string | null;
  lastRecordMs: number | null;
}
export interface MemoryCommand {
  readonly address: string;
  readonly partition: number;
  readonly request: CommandRequest;
  readonly device: DeviceRef;
  state: CommandState;
  ok: boolean | null;
  err: string | null;
  judged: boolean;
  readonly history: Transition[];
}
export interface MemoryAck {
  readonly ack: AckMessage;
  readonly late: boolean;
  readonly known: boolean;
}
export interface MemoryDevice {
  readonly ref: DeviceRef;
  partition: number;
  lastSeenUs: number;
  online: boolean;
  cause: string | null;
  untimed: readonly string[];
  quarantinedUntilMs: number;
  firmware: string | null;
  readonly sensors: Map<string, Sensor>;
}

/** When a failure strikes: before anything is done, or after the COMMIT, whose answer is lost. */
export interface MemoryState {
  /** By `topic/partition`. */
  readonly fences: Map<string, MemoryFence>;
  /** By `sensor/time`, in the order in which they were stored. */
  readonly rows: Map<string, { row: Row; kept: MemoryRow }>;
  /** By address. */
  readonly devices: Map<string, MemoryDevice>;
  /** Names of adapters, by address. */
  readonly adapters: Map<string, string>;
  /** By command id. */
  readonly commands: Map<string, MemoryCommand>;
  /** By `address cmdId`. */
  readonly acks: Map<string, MemoryAck>;
  /** By `topic/partition/offset/item`. */
  readonly letters: Map<string, DeadLetter>;
  /** Those whose replay took effect. */
  readonly replayed: Set<string>;
  /** By `equipment/time/hash`. */
  readonly events: Map<string, EventMessage>;
  /** Flushes that committed, oldest first. */
  readonly flushes: Flush[];
  /** The last id given out. */
  lastId: number;
}

export function createMemoryState(): MemoryState {
  return {
    fences: new Map(),
    rows: new Map(),
    devices: new Map(),
    adapters: new Map(),
    commands: new Map(),
    acks: new Map(),
    letters: new Map(),
    replayed: new Set(),
    events: new Map(),
    flushes: [],
    lastId: 0,
  };
}
