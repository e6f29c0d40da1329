/** What a simulated fleet is and what it sends: the words that the rest of the simulator is written in. */
import type { DeadLetterReason } from "../errors.js";
import type { Dialect } from "./payloads.js";

/** `dup`: the bytes of an earlier message once more. `late`: made before messages that were sent before it. */
export type MessageClass = "ok" | "dup" | "late" | "poison" | "hello";

export interface Planned {
  /** Index of the device. */
  readonly device: number;
  readonly seq: number;
  readonly class: MessageClass;
  /** When it is to be sent, microseconds after the start. */
  readonly dueUs: number;
  /** The device's time of the message, microseconds since the Unix epoch; unique for each device but for `dup`. */
  readonly timeUs: number;
  readonly payload: Buffer;
  /** Readings in it; 0 for hello and poison. */
  readonly points: number;
  /** For poison: the dead letter that must come of it. */
  readonly reason: DeadLetterReason | null;
}

/** Weights; they need not add up to anything. */
export type Mix = Readonly<Record<Dialect, number>>;

/** Messages that devices have kept while they were out of reach, to be sent once they are back. */
export interface Backlog {
  /** Turns of each device before it. */
  readonly after: number;
  /** Messages of each device. */
  readonly turns: number;
  /** What device clocks advance by meanwhile, microseconds; the start is to be so much earlier. Below 0 they are set back. */
  readonly spanUs: number;
  /** Between two of them of a device, microseconds: what its link lets through. Without it all of them are due at once. */
  readonly everyUs?: number;
}

export interface FleetPlan {
  readonly seed: number;
  readonly devices: number;
  /** Microseconds since the Unix epoch, whole milliseconds; device clocks and `boot` start here. */
  readonly startUs: number;
  /** Messages per second over the fleet; 0: as fast as the broker acknowledges. */
  readonly rate: number;
  /** Messages of the whole fleet; Infinity for no end. */
  readonly messages: number;
  readonly mix: Mix;
  /** Shares of all messages, 0 to 1 (at most every other message can be out of order). */
  readonly outOfOrder: number;
  readonly duplicates: number;
  readonly poison: number;
  /** Points of a message, `seq` and `boot` among them. */
  readonly points: number;
  /** On the tenants' topics, where a hello is the word `online` on the state topic. */
  readonly tenants: boolean;
  readonly backlog?: Backlog | undefined;
}
