/**
 * What a client missed while it was away, out of the history: the messages whose reading's time is later than that of the
 * last one it had. Bounded, since it is read at once to be put in order; a client is told when it is not all.
 */
import { address } from "../../domain/names.js";
import type { DeviceViewReader } from "../../ports.js";
import { timeOf } from "./frame.js";
import type { Scope } from "./rooms.js";

/** Devices whose histories are read: of a whole tenant those that were heard of last. */
const MOST_DEVICES = 1_000;
const MOST_MESSAGES = 10_000;
const MOST_CHARACTERS = 8 * 1024 * 1024;
/** Messages of one read; one may have 2.5 MiB. */
const PAGE = 16;
/** Devices read at the same time. */
const AT_ONCE = 16;
/** Seconds by which a device may have been heard of before the time that its reading bears. */
const CLOCK_AHEAD_S = 60;

export interface MissedMessage {
  readonly text: string;
  readonly address: string;
  /** Unix seconds. */
  readonly timeS: number;
}

export interface Missed {
  /** In the order of their times. */
  readonly messages: readonly MissedMessage[];
  /** Whether these are all. */
  readonly complete: boolean;
}

/** @param fromS time of the last message that the client had, Unix seconds; @param sinceS how far the history goes back */
export async function readMissed(
  view: Pick<DeviceViewReader, "history" | "heardSince">,
  scope: Scope,
  { fromS, sinceS, nowS }: { fromS: number; sinceS: number; nowS: number },
): Promise<Missed> {
  let complete = fromS >= sinceS;
  let ids = scope.devices;
  if (ids.length === 0) {
    const heardS = Math.min(fromS, nowS) - CLOCK_AHEAD_S;
    ids = await view.heardSince(scope.tenant, heardS, MOST_DEVICES + 1);
  }
  if (ids.length > MOST_DEVICES) complete = false;
  const left = ids
    .slice(0, MOST_DEVICES)
    .map((id) => address(scope.tenant, id));
  const messages: MissedMessage[] = [];
  let characters = 0;
  const isFull = (): boolean =>
    messages.length >= MOST_MESSAGES || characters >= MOST_CHARACTERS;

  async function readDevice(at: string): Promise<void> {
    let before: readonly string[] = [];
    for (let skip = 0; ; skip += PAGE) {
      const page = await view.history(
        at,
        Math.max(fromS, sinceS),
        Number.POSITIVE_INFINITY,
        skip,
        PAGE,
      );
      for (const text of page) {
        const timeS = Number(timeOf(Buffer.from(text)));
        // A late message that came in before this place has moved the others on by one.
        if (timeS <= fromS || before.includes(text)) continue;
        if (isFull()) {
          complete = false;
          return;
        }
        messages.push({ text, address: at, timeS });
        characters += text.length;
      }
      if (page.length < PAGE) return;
      before = page;
    }
  }
  async function readNext(): Promise<void> {
    for (let at = left.pop(); at !== undefined; at = left.pop())
      await readDevice(at);
  }
  left.reverse();
  await Promise.all(Array.from({ length: AT_ONCE }, readNext));
  // Sorting keeps the order of those of one device that have the same time.
  return { messages: messages.toSorted((a, b) => a.timeS - b.timeS), complete };
}
