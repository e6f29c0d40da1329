/** What is asked of Redis, which shows devices and decides nothing. */
import type { DeviceRef, ViewChange } from "../domain/device.js";

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

/** A device that is not there any more, unless it was seen after `unlessAfterUs`. Microseconds; `seenUs` 0 for never. */
export interface WentOffline {
  readonly device: DeviceRef;
  readonly seenUs: number;
  readonly unlessAfterUs: number;
  readonly cause: string;
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
  /** Takes devices that fell silent out of the online set, and publishes those that were in it. */
  offline(changes: readonly WentOffline[]): Promise<void>;
  /** Shows the gateways until when everything is known, milliseconds: by partition, and of the bridges where they tell. */
  horizon(
    untilMs: ReadonlyMap<number, number>,
    bridgesMs: number | null,
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
  /** Devices of a tenant seen at or after (Unix seconds), the latest first; at most so many. */
  heardSince(tenant: string, sinceS: number, limit: number): Promise<string[]>;
  /** The full message that each device's last state was made of; null where there is none. */
  lastMessages(addresses: readonly string[]): Promise<(string | null)[]>;
  /** When each of these was last seen (Unix seconds; null when it is not in the set); null when Redis has no such set. */
  seen(
    tenant: string,
    deviceIds: readonly string[],
  ): Promise<(number | null)[] | null>;
  /** Until when everything is known in all partitions, milliseconds; null where no processor has said. */
  horizon(): Promise<ShownHorizon | null>;
  /** Remembers for an hour that a command was accepted, until its row is there. */
  rememberCommand(address: string, command: AcceptedCommand): Promise<void>;
  acceptedCommand(
    address: string,
    cmdId: string,
  ): Promise<AcceptedCommand | null>;
  ping(): Promise<void>;
  close(): Promise<void>;
}
export interface ShownHorizon {
  readonly untilMs: number;
  /** Until when all bridges have brought theirs onto the log; null when none tells of itself. */
  readonly bridgesMs: number | null;
}
export interface AcceptedCommand {
  readonly cmdId: string;
  readonly op: string;
  readonly params: unknown;
  readonly createdMs: number;
  readonly expiresMs: number;
}
