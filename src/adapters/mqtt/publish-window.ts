/**
 * What a publisher has sent without an answer: packet ids, the broker's receive maximum, and the order in which all of it is
 * sent again after a reconnect. Pure.
 */

export interface PublishWindow<T> {
  /** A connection begins; all that is unanswered is to be sent again, before anything else. */
  open(limit: number): void;
  /** How many messages may be taken now. */
  room(): number;
  /** Takes a message and gives it the packet id that it keeps through all its attempts. Within `room` only. */
  take(message: T): number;
  /** The next message to send again, oldest first; undefined when there is none or no room for it. */
  repeat(): { readonly packetId: number; readonly message: T } | undefined;
  /** The answer to a packet id; undefined when it is none of this connection's. */
  settle(packetId: number): T | undefined;
  /** The connection ended; these had been sent on it, oldest first. */
  close(): T[];
  /** All without an answer, oldest first. */
  unanswered(): T[];
  size(): number;
}

interface Entry<T> {
  readonly message: T;
  /** Sent on the connection there is. */
  sent: boolean;
}

/** @param size messages without an answer at most, 1 to 65,535. */
export function createPublishWindow<T>(size: number): PublishWindow<T> {
  /** By packet id, oldest first. */
  const entries = new Map<number, Entry<T>>();
  const freeIds = Array.from({ length: size }, (_, i) => size - i);
  let limit = 0;
  let sent = 0;
  let repeats: number[] = [];
  let repeated = 0;

  return {
    open(newLimit) {
      limit = Math.min(size, newLimit);
      repeats = [...entries.keys()];
      repeated = 0;
    },
    room: () => (repeated < repeats.length ? 0 : Math.max(0, limit - sent)),
    take(message) {
      const packetId = freeIds.pop();
      if (packetId === undefined) throw new Error("no room in the window");
      entries.set(packetId, { message, sent: true });
      sent += 1;
      return packetId;
    },
    repeat() {
      const packetId = repeats[repeated];
      if (packetId === undefined || sent >= limit) return undefined;
      repeated += 1;
      const entry = entries.get(packetId)!;
      entry.sent = true;
      sent += 1;
      return { packetId, message: entry.message };
    },
    settle(packetId) {
      const entry = entries.get(packetId);
      if (entry === undefined || !entry.sent) return undefined;
      entries.delete(packetId);
      freeIds.push(packetId);
      sent -= 1;
      return entry.message;
    },
    close() {
      const lost: T[] = [];
      for (const entry of entries.values()) {
        if (entry.sent) lost.push(entry.message);
        entry.sent = false;
      }
      limit = 0;
      sent = 0;
      repeats = [];
      repeated = 0;
      return lost;
    },
    unanswered: () => [...entries.values()].map(({ message }) => message),
    size: () => entries.size,
  };
}
