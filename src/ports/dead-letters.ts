/** What operators ask of the dead letters, and of devices in quarantine. */
import type { DeadLetter, LogRecord, Message } from "../domain/message.js";
import type { LogPlace } from "../domain/replay.js";
import type { DeadLetterReason } from "../errors.js";

/** open: nothing was done. replaying: on its way again. stored: its replay took effect. dropped: given up by a person. */
export type LetterState = "open" | "replaying" | "stored" | "dropped";

/** Which letters; null takes all. */
export interface LetterFilter {
  /** Null, every tenant's and those of none, is for the command line alone. */
  readonly tenant: string | null;
  readonly device: string | null;
  readonly reason: DeadLetterReason | null;
  readonly fingerprint: string | null;
  readonly id: number | null;
  /** Of the failure, Unix milliseconds: from … until before. */
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

/** All letters of one fingerprint. */
export interface LetterCause {
  readonly fingerprint: string;
  readonly reason: DeadLetterReason;
  readonly adapter: string | null;
  readonly firmware: string | null;
  readonly cause: string;
  readonly messages: number;
  readonly devices: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface StoredLetter {
  readonly id: number;
  readonly tenant: string | null;
  readonly device: string | null;
  /** MQTT topic where there is one. */
  readonly topic: string;
  readonly reason: DeadLetterReason;
  readonly detail: string;
  readonly fingerprint: string;
  readonly adapter: string | null;
  readonly firmware: string | null;
  readonly attempts: number;
  readonly atMs: number;
  readonly place: LogPlace;
  /** Index of the point; -1 for the whole record. */
  readonly item: number;
  readonly state: LetterState;
  readonly run: string | null;
  readonly movedMs: number | null;
  /** Bytes that the device sent. */
  readonly size: number;
  /** Whether fewer were kept. */
  readonly truncated: boolean;
}

/** A record to be replayed, with all its unsettled letters. */
export interface ReplayPlace extends LogPlace {
  readonly ids: readonly number[];
  /** Whether its letters are of points and not of the whole. */
  readonly ofPoints: boolean;
  /** When its oldest letter was written, Unix milliseconds. */
  readonly atMs: number;
}

export interface Quarantined {
  readonly tenant: string;
  readonly deviceId: string;
  readonly untilMs: number;
}

export interface LetterDesk {
  /** Most messages first. */
  causes(
    filter: LetterFilter,
    states: readonly LetterState[],
    limit: number,
  ): Promise<LetterCause[]>;
  /** Newest first; `before` is the id that the page before ended with. */
  list(
    filter: LetterFilter,
    states: readonly LetterState[],
    page: { before: number | null; limit: number },
  ): Promise<StoredLetter[]>;
  find(
    tenant: string | null,
    id: number,
  ): Promise<(StoredLetter & { readonly payload: Buffer }) | null>;
  /** How many unsettled letters of each topic and reason. */
  tally(
    filter: LetterFilter,
  ): Promise<{ topic: string; reason: DeadLetterReason; letters: number }[]>;
  /** Records with unsettled letters that can be replayed, in log order. */
  replayable(
    filter: LetterFilter,
    after: LogPlace | null,
    limit: number,
  ): Promise<ReplayPlace[]>;
  /** Before they are appended; those settled meanwhile stay as they are. */
  markReplaying(
    tenant: string | null,
    run: string,
    ids: readonly number[],
  ): Promise<void>;
  /** Letters of a run by what became of them; `open`: failed again. */
  run(tenant: string | null, run: string): Promise<Record<LetterState, number>>;
  /** Answers how many. */
  drop(filter: LetterFilter): Promise<number>;
  /** Names of adapters by address, for devices that have one of their own: what a rehearsal goes by. */
  adapters(tenant: string | null): Promise<Map<string, string>>;
  /** Devices in quarantine now. */
  quarantined(tenant: string | null): Promise<Quarantined[]>;
  /** Null for a device that there is none of; 0 for one that is not in quarantine. */
  quarantineOf(tenant: string, deviceId: string): Promise<number | null>;
  close(): Promise<void>;
}

export interface Replayed {
  /** Records appended to `iot-data`. */
  readonly appended: number;
  /** Dead letters whose record the log's retention has taken, or that are of another log. */
  readonly gone: number;
}

/** What a replay would come to, as this program decodes. */
export interface Rehearsal {
  /** Would be stored: messages and their readings. */
  readonly stored: { messages: number; points: number };
  /** Would be noted, and make no rows: hello, state, acks, events, notes of uploads. */
  readonly noted: number;
  /** Would be dead letters again, by reason. */
  readonly failed: Partial<Record<DeadLetterReason, number>>;
  /** Their record is not on the log any more. */
  readonly gone: number;
  /** The first few of each outcome. */
  readonly samples: Sample[];
}

export interface Sample {
  readonly id: number;
  readonly outcome: "stored" | "noted" | DeadLetterReason;
  readonly device: string | null;
  /** `name = value` of each point, or why it fails. */
  readonly says: string;
}

/** How much of it, and until when. */
export interface ReplayBounds {
  /** Records at most; all unless given. */
  readonly limit?: number;
  readonly signal: AbortSignal;
}

export interface LetterReplayer {
  /**
   * Appends the records again, in the order of each device, once they are marked.
   * @param run name of this replay, by which its letters are found again
   * @throws what desk and log throw, and the signal's reason; what was appended by then, `progress` has told
   */
  replay(
    filter: LetterFilter,
    bounds: ReplayBounds & { readonly run: string },
    progress?: (replayed: Replayed) => void,
  ): Promise<Replayed>;
  /**
   * Decodes what a replay would append, and writes nothing. What only the stores or an actor can say is not foreseen: rows
   * that are there already, crashes, quarantine.
   * @throws what desk and log throw, and the signal's reason
   */
  rehearse(
    filter: LetterFilter,
    bounds: ReplayBounds & {
      readonly decode: (record: LogRecord) => Message | DeadLetter;
    },
    progress?: (looked: number) => void,
  ): Promise<Rehearsal>;
}
