/**
 * Who of a lane's devices is there. A device comes with anything that shows it alive (hello, data, event, ack, state
 * `online`), and goes by its own word or last will (`disconnected`) or because nothing was heard of it for the time-out
 * (`silent`), measured by what is known (horizon.ts) and not by the clock. The database is told when a device comes or
 * goes, and at most every half time-out while it stays; never once a message.
 */
import type { DeviceRef, StoreChange } from "../domain/device.js";
import { DISCONNECTED, SILENT } from "../domain/presence.js";
import type { PresenceChange, PresenceMove } from "../ports.js";

interface Seen {
  readonly device: DeviceRef;
  seenUs: number;
  /** Until when it may have been seen at most: later than `seenUs` only as long as nothing but the database tells of it. */
  perhapsUs: number;
  /** What the database has; 0 while it does not have this device as online. */
  writtenUs: number;
}

export interface Presence {
  /** Devices that are there. */
  readonly size: number;
  load(online: readonly { device: DeviceRef; lastSeenUs: number }[]): void;
  /** Takes note of a batch and answers what the database should be told. */
  note(changes: readonly StoreChange[]): PresenceChange[];
  /** Devices of which nothing was heard for the time-out before `untilUs`; they count as gone from then on. */
  silent(untilUs: number): PresenceChange[];
}

export function createPresence(
  timeoutUs: number,
  moved: (move: PresenceMove) => void,
): Presence {
  const seen = new Map<string, Seen>();

  function gone(
    { device, seenUs }: Pick<Seen, "device" | "seenUs">,
    cause: typeof DISCONNECTED | typeof SILENT,
  ): PresenceChange {
    if (seen.delete(device.address)) moved(cause);
    return { device, seenUs, online: false, cause };
  }

  return {
    get size() {
      return seen.size;
    },
    load(online) {
      // It is told every half time-out only.
      for (const { device, lastSeenUs } of online)
        seen.set(device.address, {
          device,
          seenUs: lastSeenUs,
          perhapsUs: lastSeenUs + timeoutUs / 2,
          writtenUs: lastSeenUs,
        });
    },
    note(changes) {
      const told: PresenceChange[] = [];
      for (const { device, seenUs, gone: word } of changes) {
        let entry = seen.get(device.address);
        if (entry === undefined && seenUs > 0) {
          entry = { device, seenUs, perhapsUs: seenUs, writtenUs: 0 };
          seen.set(device.address, entry);
          moved("online");
        }
        if (word !== null && word.atUs >= (entry?.seenUs ?? 0)) {
          const lastUs = Math.max(word.seenUs, entry?.seenUs ?? 0);
          told.push(gone({ device, seenUs: lastUs }, DISCONNECTED));
          continue;
        }
        if (entry === undefined || seenUs === 0) continue;
        entry.seenUs = Math.max(entry.seenUs, seenUs);
        entry.perhapsUs = Math.max(entry.perhapsUs, seenUs);
        if (entry.seenUs - entry.writtenUs < timeoutUs / 2) continue;
        entry.writtenUs = entry.seenUs;
        told.push({ device, seenUs: entry.seenUs, online: true, cause: null });
      }
      return told;
    },
    silent(untilUs) {
      const told: PresenceChange[] = [];
      for (const entry of seen.values())
        if (untilUs - entry.perhapsUs > timeoutUs)
          told.push(gone(entry, SILENT));
      return told;
    },
  };
}
