/**
 * Holds the sender's ledger against what the log, the database and the view have of it. Pure. The ledger is the oracle: it
 * knows nothing of the system but what the broker acknowledged. What must be in the database is told by the device's own
 * bytes, which the log is trusted with only where their hash is the ledger's.
 */
import { isLater, orderOf } from "../domain/decide.js";
import type { Point } from "../domain/message.js";
import type { Attempt } from "./ledger.js";

/** A record of the log that one of the ledger's devices sent. */
export interface Logged {
  /** Device address. */
  readonly dev: string;
  readonly partition: number;
  readonly offset: number;
  readonly arrivalUs: number;
  /** Of the device's bytes, hex. */
  readonly sha256: string;
  /** What must become rows; null where the record holds no reading. */
  readonly reading: {
    readonly timeUs: number;
    readonly values: string;
  } | null;
}

/** What was found of the ledger's devices. */
export interface Evidence {
  readonly logged: readonly Logged[];
  /** `valuesOf` the rows of a device's instant, by `instant`. */
  readonly rows: ReadonlyMap<string, string>;
  /** Reason by `place`: dead letters of whole records. */
  readonly letters: ReadonlyMap<string, string>;
  /** By address; null where the view is not looked at. */
  readonly shown: ReadonlyMap<string, Shown> | null;
}

/** A device in the view. */
export interface Shown {
  /** Time of the last state, microseconds; null when there is none. */
  readonly timeUs: number | null;
  /** Of its payload, as `Logged` has it; null when there is none. */
  readonly sha256: string | null;
  /** The same of the messages in the history. */
  readonly history: ReadonlySet<string>;
}

/** Counts are messages, each counted once however often it was sent; lists name `device seq`, or what is known. */
export interface Comparison {
  readonly sent: number;
  /** Acknowledged by the broker, in one attempt at least. */
  readonly accepted: number;
  /** On the log, with all their readings in the database. */
  readonly stored: number;
  /** On the log, with nothing to store: hellos. */
  readonly noted: number;
  /** Records of the log beyond the first of their message: sent or delivered again. */
  readonly duplicates: number;
  /** Poison kept for the reason it was made for, by reason. */
  readonly deadLettered: Readonly<Record<string, number>>;
  /** Accepted by the broker and not on the log. */
  readonly brokerLoss: readonly string[];
  /** On the log, and neither stored nor kept as a dead letter. */
  readonly missing: readonly string[];
  /** Stored with other values than were sent. */
  readonly wrong: readonly string[];
  /** More than one row for a reading. */
  readonly doubled: readonly string[];
  /** In the database or on the log, and not in the ledger. */
  readonly invented: readonly string[];
  /** Dead letters of good messages, or for another reason. */
  readonly misjudged: readonly string[];
  /** On the log behind a message that the device sent later. */
  readonly outOfOrder: readonly string[];
  /** Devices whose last state is not their newest message, or whose history has others than theirs. */
  readonly stale: readonly string[];
}

/** The lists that must be empty whatever befell the system; `brokerLoss` is the broker's own. */
export const FAULTLESS = [
  "missing",
  "wrong",
  "doubled",
  "invented",
  "misjudged",
  "outOfOrder",
  "stale",
] as const satisfies readonly (keyof Comparison)[];

export const instant = (dev: string, timeUs: number): string =>
  `${dev} ${timeUs}`;
export const place = (at: { partition: number; offset: number }): string =>
  `${at.partition}/${at.offset}`;

/** Readings of one instant as a text that is the same for the same values, in whatever order they come. */
export const valuesOf = (
  points: readonly Pick<Point, "name" | "value" | "text">[],
): string =>
  points
    .map(({ name, value, text }) => JSON.stringify([name, value ?? text]))
    .toSorted()
    .join("\n");

/** Arrivals are whole milliseconds. */
const ARRIVAL_MS = 1;

interface Sent {
  first: Attempt;
  accepted: boolean;
  /** When, by attempt. */
  readonly sentMs: number[];
}

export function compare(
  attempts: readonly Attempt[],
  evidence: Evidence,
): Comparison {
  const { rows, letters } = evidence;
  const sent = messagesOf(attempts);
  const logged = groupedBy(evidence.logged, keyOf);
  const result = {
    sent: sent.size,
    accepted: 0,
    stored: 0,
    noted: 0,
    duplicates: 0,
    deadLettered: {} as Record<string, number>,
    brokerLoss: [] as string[],
    missing: [] as string[],
    wrong: [] as string[],
    doubled: [] as string[],
    invented: [] as string[],
    misjudged: [] as string[],
  };
  const known = new Set<string>();
  for (const [key, { first, accepted }] of sent) {
    const name = nameOf(first);
    if (accepted) result.accepted += 1;
    const copies = logged.get(key) ?? [];
    if (copies.length === 0) {
      if (accepted) result.brokerLoss.push(name);
      continue;
    }
    result.duplicates += copies.length - 1;
    const reasons = copies.map((copy) => letters.get(place(copy)));
    if (first.class === "poison") {
      if (reasons.includes(undefined)) result.missing.push(name);
      else if (reasons.some((reason) => reason !== first.reason))
        result.misjudged.push(`${name}: ${reasons.join(", ")}`);
      else
        result.deadLettered[first.reason ?? ""] =
          (result.deadLettered[first.reason ?? ""] ?? 0) + 1;
      continue;
    }
    if (reasons.some((reason) => reason !== undefined)) {
      result.misjudged.push(`${name}: ${reasons.join(", ")}`);
      continue;
    }
    const { reading } = copies[0]!;
    if (reading === null) {
      result.noted += 1;
      continue;
    }
    const at = instant(first.dev, reading.timeUs);
    known.add(at);
    const found = rows.get(at);
    if (found === undefined) result.missing.push(name);
    else if (found === reading.values) result.stored += 1;
    else if (hasDoubles(found)) result.doubled.push(name);
    else result.wrong.push(name);
  }
  for (const [key, [one]] of logged)
    if (!sent.has(key) && one !== undefined)
      result.invented.push(`${one.dev} on the log at ${place(one)}`);
  for (const at of rows.keys())
    if (!known.has(at)) result.invented.push(`row ${at}`);
  return {
    ...result,
    outOfOrder: outOfOrder(sent, evidence.logged),
    stale: evidence.shown === null ? [] : stale(evidence, evidence.shown),
  };
}

const keyOf = ({ dev, sha256 }: { dev: string; sha256: string }): string =>
  `${dev} ${sha256}`;
const nameOf = ({ dev, seq }: Attempt): string => `${dev} ${seq}`;

function groupedBy<T>(
  items: readonly T[],
  key: (item: T) => string,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** By device and bytes: a message that was sent again is one, and its first attempt stands for it. */
function messagesOf(attempts: readonly Attempt[]): Map<string, Sent> {
  const messages = new Map<string, Sent>();
  for (const attempt of attempts) {
    const key = keyOf(attempt);
    const accepted = attempt.outcome === "acked";
    const { tSend } = attempt;
    const known = messages.get(key);
    if (known === undefined) {
      messages.set(key, { first: attempt, accepted, sentMs: [tSend] });
      continue;
    }
    if (tSend < known.first.tSend) known.first = attempt;
    known.accepted ||= accepted;
    known.sentMs.push(tSend);
  }
  return messages;
}

function hasDoubles(values: string): boolean {
  const names = values
    .split("\n")
    .map((line) => (JSON.parse(line) as [string, unknown])[0]);
  return new Set(names).size < names.length;
}

/**
 * In the order of the log, each message by its first record; instants of sending that are the same tell no order. Of a message
 * that was sent again the broker may have lost the first copy: the record may be of any attempt before its arrival.
 */
function outOfOrder(
  sent: ReadonlyMap<string, Sent>,
  logged: readonly Logged[],
): string[] {
  const latest = new Map<string, number>();
  const seen = new Set<string>();
  const found: string[] = [];
  for (const one of logged.toSorted((a, b) => a.offset - b.offset)) {
    const key = keyOf(one);
    const message = sent.get(key);
    if (message === undefined || seen.has(key)) continue;
    seen.add(key);
    const before = latest.get(one.dev) ?? -Infinity;
    const arrivedMs = one.arrivalUs / 1000 + ARRIVAL_MS;
    const { first, sentMs } = message;
    const may = sentMs.filter(
      (ms) => ms >= before && (ms <= arrivedMs || ms === first.tSend),
    );
    if (may.length === 0) found.push(nameOf(first));
    else latest.set(one.dev, Math.min(...may));
  }
  return found;
}

const NOTHING: Shown = { timeUs: null, sha256: null, history: new Set() };

function stale(
  { logged, letters }: Evidence,
  shown: ReadonlyMap<string, Shown>,
): string[] {
  const found: string[] = [];
  for (const [dev, all] of groupedBy(logged, (one) => one.dev)) {
    let newest: Newest | null = null;
    const messages = new Set<string>();
    for (const { reading, arrivalUs, offset, sha256, partition } of all) {
      if (reading === null || letters.has(place({ partition, offset })))
        continue;
      messages.add(sha256);
      const { timeUs } = reading;
      const orderUs = orderOf(timeUs, arrivalUs);
      const candidate: Newest = { orderUs, offset, timeUs, sha256 };
      if (isLater(candidate, newest)) newest = candidate;
    }
    if (newest === null) continue;
    const { timeUs, sha256, history } = shown.get(dev) ?? NOTHING;
    if (timeUs !== newest.timeUs)
      found.push(`${dev}: last state of ${timeUs}, not ${newest.timeUs}`);
    else if (sha256 !== newest.sha256)
      found.push(`${dev}: last state with another payload than was sent`);
    const there = [...messages].filter((one) => history.has(one)).length;
    if (there !== messages.size)
      found.push(`${dev}: ${there} of ${messages.size} in the history`);
    if (history.size > there)
      found.push(`${dev}: ${history.size - there} others in the history`);
  }
  return found;
}

type Newest = Parameters<typeof isLater>[0] & Pick<Shown, "timeUs" | "sha256">;
