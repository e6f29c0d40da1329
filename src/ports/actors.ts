/** What the lanes ask of the device actors. */
import type { DeviceState, Effects } from "../domain/device.js";
import type { Message } from "../domain/message.js";

/** One message of the router to the actors of a lane: all that a batch holds for each device, in log order. */
export type Groups = ReadonlyMap<string, readonly Message[]>;

/** The device actors of one partition. */
export interface LaneActors {
  has(address: string): boolean;
  /** Spawns an actor with the state it wakes with. */
  spawn(state: DeviceState): void;
  /**
   * One message an actor; settles when every actor has answered, whatever became of single messages, and rejects when they are
   * stopped before. One at a time.
   */
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
