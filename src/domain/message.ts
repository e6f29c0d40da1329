/**
 * What a log record says once it is decoded: one message of one device. Times are microseconds since the Unix epoch
 * (`…Us`; exact in a double until 2255), unless a name says otherwise.
 */
import type { DeadLetterReason } from "../errors.js";
import type { Precondition } from "./precondition.js";

/** A record as it lies on the log. Offsets are exact in a double (< 2^53). */
export interface LogRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: LogHeaders;
  /** The log's own time of the record, milliseconds. */
  readonly timestampMs: number;
}
export type LogHeaders = Readonly<Record<string, string>>;

/** Names of the headers that the bridge puts on a record, and a replay. */
export const HEADER = {
  /** Time of arrival at the bridge, Unix milliseconds. */
  arrival: "arrival-ms",
  bridge: "bridge-id",
  /** MQTT packet id, absent for QoS 0. */
  packet: "mqtt-packet-id",
  /** "1" when the broker redelivered the packet. */
  dup: "mqtt-dup",
  /** "1" for what the broker had kept for a topic (retained), and not for what a device says at this moment. */
  retained: "mqtt-retained",
  /** topic/partition/offset where a replayed record lay first. */
  replayOf: "replay-of",
  /** W3C Trace Context of a message that is traced; see traceparent.ts. */
  traceparent: "traceparent",
} as const;

/** What a value is compared and stored as; a point that changes its class becomes a second sensor. */
export type TypeClass = "num" | "bool" | "text";

/** One value of one point at the message's time (or, in bulk, at its own). */
export interface Point {
  readonly name: string;
  /** The type as the device named it: float, int, num, bool, enum, text or string. */
  readonly type: string;
  readonly typeClass: TypeClass;
  /** Numbers, and booleans as 0 or 1; null for text. */
  readonly value: number | null;
  readonly text: string | null;
  readonly unit: string | null;
  /** Index in the device's message: the `item` of a dead letter. */
  readonly item: number;
}

interface MessageBase {
  readonly source: LogRecord;
  readonly address: string;
  readonly tenant: string;
  readonly deviceId: string;
  readonly site: string | null;
  /** When it reached the bridge (the envelope's `timestamp`). */
  readonly arrivalUs: number;
}

export interface DataMessage extends MessageBase {
  readonly kind: "data";
  /** The reading's time: the payload's own, else the arrival. */
  readonly timeUs: number;
  /** Those that become rows; maybe none. */
  readonly points: readonly Point[];
  /** Points left out because an earlier one of this message has the same name. */
  readonly conflicts: readonly Point[];
  /** Points left out because no figure could be made of their number. */
  readonly refused: readonly Point[];
  /** JSON text of the device's payload, as the device wrote it. */
  readonly payload: string;
  /** For messages without a time of their own: `bridge:packet:hash`, by which a redelivery is known; else null. */
  readonly untimedId: string | null;
  /** Redelivered by the broker (DUP flag). */
  readonly redelivered: boolean;
  readonly adapter: string;
  /** What the device says it runs: `fw` of the adapter's meta; null when it does not say. */
  readonly firmware: string | null;
}

/** The device says that it is there. */
export interface HelloMessage extends MessageBase {
  readonly kind: "hello";
}

/** The device's retained state or its last will. */
export interface StateMessage extends MessageBase {
  readonly kind: "state";
  readonly online: boolean;
}

/** Something that happened at the device: start-up, configuration change, alarm. */
export interface EventMessage extends MessageBase {
  readonly kind: "event";
  readonly timeUs: number;
  /** JSON text as the device wrote it. */
  readonly payload: string;
  /** Hex SHA-256 of the payload; with device and time it makes an event unique. */
  readonly hash: string;
}

/** The device's answer to a command. */
export interface AckMessage extends MessageBase {
  readonly kind: "ack";
  readonly cmdId: string;
  readonly ok: boolean;
  readonly execUs: number;
  readonly err: string | null;
  /** Hex SHA-256 of the payload; of differing acks the one with the smallest (execUs, hash) stands. */
  readonly hash: string;
}

/** Newest readings of an upload, for Redis and presence; its rows are stored already. */
export interface BulkMessage extends MessageBase {
  readonly kind: "bulk";
  readonly claimId: string;
  /** The time of its newest point. */
  readonly timeUs: number;
  /** When the upload was received: the device counts as seen then. */
  readonly seenUs: number;
  readonly points: readonly Point[];
  /** JSON text of the note. */
  readonly payload: string;
}

/** A request from `device-commands`. */
export interface CommandMessage extends MessageBase {
  readonly kind: "command";
  readonly command: CommandRequest;
}
export interface CancelMessage extends MessageBase {
  readonly kind: "cancel";
  readonly cancel: CancelRequest;
}
export interface ReleaseMessage extends MessageBase {
  readonly kind: "release";
}

/** All that an actor can be sent. */
export type Message =
  | DataMessage
  | HelloMessage
  | StateMessage
  | EventMessage
  | AckMessage
  | BulkMessage
  | CommandMessage
  | CancelMessage
  | ReleaseMessage;

/** A command as the gateway put it on the log. */
export interface CommandRequest {
  readonly cmdId: string;
  readonly op: string;
  readonly params: unknown;
  readonly by: string;
  readonly createdUs: number;
  readonly expiresUs: number;
  /** Whether it may wait for a device that is offline. */
  readonly queue: boolean;
  /** Its slot: a command takes the place of the device's older ones of the same slot; null for none. */
  readonly supersedes: string | null;
  /** It is sent only if this holds then. */
  readonly precondition: Precondition | null;
  /** Extra top-level keys of the request, passed through to the device. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** W3C Trace Context where it is traced; not kept, so one that waited for another processor has none. */
  readonly traceparent?: string;
}

/** The wish that a command be no longer executed, or at least no longer waited for. */
export interface CancelRequest {
  readonly tenant: string;
  readonly deviceId: string;
  /** The command's id. */
  readonly cancels: string;
  readonly by: string;
  readonly askedUs: number;
}

/** A record, or one point of it, that is kept with its reason instead of being stored. */
export interface DeadLetter {
  readonly source: LogRecord;
  readonly reason: DeadLetterReason;
  readonly detail: string;
  readonly tenant: string | null;
  /** Device id where it could be read. */
  readonly deviceId: string | null;
  /** The MQTT topic that the device used, else the log's topic. */
  readonly topic: string;
  /** The device's own bytes where they could be told from the envelope, else the record's value. */
  readonly payload: Buffer;
  /** Index of the point within the message; -1 for the whole record. */
  readonly item: number;
  readonly attempts: number;
}
