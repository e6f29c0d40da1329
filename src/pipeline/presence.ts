/**
 * Who of a lane's devices is there: seen within the time-out or not. The database is told when a device comes or goes, and
 * at most every half time-out while it stays; never once a message.
 */
import type { DeviceRef, StoreChange } from "../domain/device.js";
import type { PresenceChange } from "../ports.js";

interface Seen {
  readonly device: DeviceRef;
  seenUs: number;
  /** What the database has; 0 while it does not have this device as online. */
  writtenUs: number;
}

export interface Presence {
  /** Devices that are there. */
  readonly size: number;
  load(online: readonly { device: DeviceRef; lastSeenUs: number }[]): void;
  /** Takes note of a batch and answers what the database should be told. */
  note(changes: readonly StoreChange[]): PresenceChange[];
  /** Devices silent since before `nowUs - timeout`; they count as gone from then on. */
  silent(nowUs: number): PresenceChange[];
}

export function createPresence(timeoutUs: number): Presence {
  const seen = new Map<string, Seen>();

  const gone = (entry: Seen, cause: string): PresenceChange => ({
    device: entry.device,
    seenUs: entry.seenUs,
    online: false,
    cause,
  });

  return {
    get size() {
      return seen.size;
    },
    load(online) {
      for (const { device, lastSeenUs } of online)
        seen.set(device.address, {
          device,
          seenUs: lastSeenUs,
          writtenUs: lastSeenUs,
        });
    },
    note(changes) {
      const told: PresenceChange[] = [];
      for (const { device, seenUs, online } of changes) {
        let entry = seen.get(device.address);
        if (online === false) {
          seen.delete(device.address);
          told.push(
            gone(entry ?? { device, seenUs, writtenUs: 0 }, "disconnected"),
          );
          continue;
        }
        if (seenUs === 0) continue;
        if (entry === undefined) {
          entry = { device, seenUs, writtenUs: 0 };
          seen.set(device.address, entry);
        }
        entry.seenUs = Math.max(entry.seenUs, seenUs);
        if (entry.seenUs - entry.writtenUs < timeoutUs / 2) continue;
        entry.writtenUs = entry.seenUs;
        told.push({ device, seenUs: entry.seenUs, online: true, cause: null });
      }
      return told;
    },
    silent(nowUs) {
      const told: PresenceChange[] = [];
      for (const [address, entry] of seen) {
        if (nowUs - entry.seenUs <= timeoutUs) continue;
        seen.delete(address);
        told.push(gone(entry, "silent"));
      }
      return told;
    },
  };
}
