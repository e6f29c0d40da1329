/**
 * Pages through a device's history. A place in it is (score, how many messages of that score were given), so that what is
 * trimmed at the old end meanwhile moves nothing.
 */
import type { DeviceViewReader } from "../ports.js";

export interface HistoryPlace {
  /** Unix seconds. */
  readonly fromS: number;
  /** Messages of exactly that time to leave out. */
  readonly skip: number;
}

export interface HistoryPage {
  /** JSON texts, oldest first. */
  readonly messages: readonly string[];
  readonly next: HistoryPlace | null;
}

/** A page ends at this many characters even when its limit is not reached: one message may have 2.5 MiB. */
const PAGE_CHARACTERS = 8 * 1024 * 1024;
/** Messages of the first read, by whose size the following ones are measured. */
const FIRST_READ = 32;

export async function readHistory(
  view: Pick<DeviceViewReader, "history">,
  address: string,
  start: HistoryPlace,
  toS: number,
  limit: number,
): Promise<HistoryPage> {
  const messages: string[] = [];
  let place = start;
  let characters = 0;
  let read = Math.min(FIRST_READ, limit);
  for (;;) {
    // One more than asked for tells whether there is a next page.
    const chunk = await view.history(
      address,
      place.fromS,
      toS,
      place.skip,
      read + 1,
    );
    const more = chunk.length > read;
    const taken = chunk.slice(0, read);
    place = after(place, taken);
    for (const message of taken) {
      messages.push(message);
      characters += message.length;
    }
    if (!more) return { messages, next: null };
    if (messages.length >= limit || characters >= PAGE_CHARACTERS)
      return { messages, next: place };
    const mean = characters / messages.length;
    read = Math.max(1, Math.floor((PAGE_CHARACTERS - characters) / mean));
    read = Math.min(read, limit - messages.length);
  }
}

export const writeCursor = (place: HistoryPlace): string =>
  `${place.fromS}_${place.skip}`;

/** Null for a text that `writeCursor` did not make. */
export function readCursor(text: string): HistoryPlace | null {
  const match = /^(\d{1,12}(?:\.\d{1,12})?)_(\d{1,9})$/.exec(text);
  return match === null
    ? null
    : { fromS: Number(match[1]), skip: Number(match[2]) };
}

function after(place: HistoryPlace, taken: readonly string[]): HistoryPlace {
  const last = taken.at(-1);
  if (last === undefined) return place;
  const fromS = timeOf(last);
  let same = 1;
  while (same < taken.length && timeOf(taken.at(-1 - same) ?? "") === fromS)
    same += 1;
  return { fromS, skip: fromS === place.fromS ? place.skip + same : same };
}

/** Score of a history entry: its message's own `timestamp`. */
const timeOf = (message: string): number =>
  (JSON.parse(message) as { timestamp: number }).timestamp;
