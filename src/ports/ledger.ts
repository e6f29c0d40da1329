/** What the check of the log against the database looks up. Times are microseconds since the Unix epoch. */
import type { TypeClass } from "../domain/message.js";
import type { LogPlace } from "../domain/replay.js";

export interface ReadingKey {
  readonly tenant: string;
  readonly deviceId: string;
  readonly name: string;
  readonly typeClass: TypeClass;
  readonly timeUs: number;
}

export interface StoredReading {
  readonly value: number | null;
  readonly text: string | null;
  /** Whether more than one row stands there, which the unique index forbids. */
  readonly doubled: boolean;
}

export interface EventKey {
  readonly tenant: string;
  readonly deviceId: string;
  readonly timeUs: number;
  /** Hex SHA-256 of the payload. */
  readonly hash: string;
}

export interface AckKey {
  readonly tenant: string;
  readonly deviceId: string;
  readonly cmdId: string;
  readonly execUs: number;
  /** Hex SHA-256 of the payload. */
  readonly hash: string;
}

export interface CommandKey {
  readonly tenant: string;
  readonly deviceId: string;
  readonly cmdId: string;
}

export interface LedgerLetter extends LogPlace {
  /** -1 for the whole record. */
  readonly item: number;
  readonly reason: string;
}

/** What the database holds as a whole. */
export interface LedgerStanding {
  /** Per partition that was ever claimed. `nextOffset` is -1 when nothing was stored. */
  readonly offsets: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly nextOffset: number;
    readonly clusterId: string | null;
  }[];
  /** [from, to) that the log's retention took before they were read. */
  readonly gaps: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly from: number;
    readonly to: number;
  }[];
  /** Every tenant there is, disabled ones too. */
  readonly tenants: ReadonlySet<string>;
  /** Names of adapters by address, of the devices that are registered with one. */
  readonly adapters: ReadonlyMap<string, string>;
  /** Raw rows of an earlier time may have been dropped, Unix milliseconds; 0 when all are kept. */
  readonly rowsFromMs: number;
  /** The same for dead letters. */
  readonly lettersFromMs: number;
}

/** Answers stand in the order of what was asked. Throws STORE_UNREACHABLE or STORE_NOT_MIGRATED. */
export interface LedgerStore {
  standing(nowMs: number): Promise<LedgerStanding>;
  /** Null where there is no row. */
  readings(keys: readonly ReadingKey[]): Promise<(StoredReading | null)[]>;
  /** Letters of one log whose offsets lie in [from, to). */
  letters(
    range: {
      readonly topic: string;
      readonly partition: number;
      readonly from: number;
      readonly to: number;
    },
    clusterId: string,
  ): Promise<LedgerLetter[]>;
  /** Letters of the records at these places, and of their points. */
  lettersAt(
    places: readonly LogPlace[],
    clusterId: string,
  ): Promise<LedgerLetter[]>;
  events(keys: readonly EventKey[]): Promise<boolean[]>;
  /** Whether an ack of the command is kept that this one does not stand before (by the smallest time, then hash). */
  acks(keys: readonly AckKey[]): Promise<boolean[]>;
  commands(keys: readonly CommandKey[]): Promise<boolean[]>;
  close(): Promise<void>;
}
