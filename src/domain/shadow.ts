/**
 * An adapter beside the way that payloads are read now: what would change if it read them all. Pure: whoever feeds it says how
 * a message was read so far, and how the adapter reads it; it counts, and keeps the first few of each kind to look at.
 */
import type { Point } from "./message.js";
import { toIso } from "./time.js";

export const VERDICTS = [
  "now_parses",
  "now_differs",
  "now_fails",
  "same",
  "still_fails",
] as const;
export type Verdict = (typeof VERDICTS)[number];

/** A message that is read both ways. */
export interface Tried {
  /** Where it lies, such as `iot-data/3@812`. */
  readonly place: string;
  readonly tenant: string | null;
  readonly deviceId: string | null;
  /** As the device wrote it. */
  readonly payload: string;
  readonly before: Way;
  readonly after: Way;
}

/** What one way of reading makes of a message. */
export type Way =
  | {
      readonly adapter: string | null;
      readonly timeUs: number;
      readonly points: readonly Point[];
    }
  | {
      readonly adapter: string | null;
      readonly reason: string;
      readonly detail: string;
    };

export interface Sample extends Omit<Tried, "before" | "after"> {
  /** The adapter that reads it now; null where that is not known, or none does. */
  readonly readBy: string | null;
  /** In words, a line each. */
  readonly changes: readonly string[];
}

export interface Shadow {
  add(tried: Tried): void;
  readonly counts: Readonly<Record<Verdict, number>>;
  /** The first of each kind; none of what stays the same. */
  readonly samples: Readonly<Record<Verdict, readonly Sample[]>>;
}

/** Of each verdict. */
const SAMPLES = 3;
/** Characters of a payload that a sample shows. */
const PAYLOAD_SHOWN = 240;
const CHANGES_SHOWN = 12;

export function createShadow(): Shadow {
  const counts = tally(() => 0);
  const samples = tally((): Sample[] => []);
  return {
    counts,
    samples,
    add({ before, after, payload, ...tried }) {
      const changes = changesOf(before, after);
      const verdict = verdictOf(before, after, changes);
      counts[verdict]++;
      const kept = samples[verdict];
      if (verdict === "same" || kept.length >= SAMPLES) return;
      kept.push({
        ...tried,
        readBy: before.adapter,
        payload: cut(payload),
        changes: firstOf(changes),
      });
    },
  };
}

const tally = <T>(first: () => T): Record<Verdict, T> =>
  Object.fromEntries(VERDICTS.map((it) => [it, first()])) as Record<Verdict, T>;

function verdictOf(
  before: Way,
  after: Way,
  changes: readonly string[],
): Verdict {
  if ("reason" in after)
    return "reason" in before ? "still_fails" : "now_fails";
  if ("reason" in before) return "now_parses";
  return changes.length === 0 ? "same" : "now_differs";
}

function changesOf(before: Way, after: Way): string[] {
  if ("reason" in before || "reason" in after) {
    const lines = "reason" in before ? [`before: ${failed(before)}`] : [];
    if ("reason" in after) return [...lines, `now: ${failed(after)}`];
    return [
      ...lines,
      `now: ${toIso(after.timeUs)}`,
      ...after.points.map((point) => `+ ${shownPoint(point)}`),
    ];
  }
  const lines: string[] = [];
  if (before.timeUs !== after.timeUs)
    lines.push(`~ time: ${toIso(before.timeUs)} → ${toIso(after.timeUs)}`);
  const had = new Map(before.points.map((point) => [point.name, point]));
  const has = new Set(after.points.map(({ name }) => name));
  for (const point of before.points)
    if (!has.has(point.name)) lines.push(`- ${shownPoint(point)}`);
  for (const point of after.points) {
    const old = had.get(point.name);
    if (old === undefined) lines.push(`+ ${shownPoint(point)}`);
    else if (!isSame(old, point))
      lines.push(`~ ${shownPoint(old)} → ${valueOf(point)}`);
  }
  return lines;
}

/** All that is stored of a point. */
const isSame = (a: Point, b: Point): boolean =>
  a.type === b.type &&
  a.typeClass === b.typeClass &&
  a.value === b.value &&
  a.text === b.text &&
  a.unit === b.unit;

const failed = (way: Extract<Way, { reason: string }>): string =>
  `${way.reason}: ${way.detail}`;

const shownPoint = (point: Point): string => `${point.name}: ${valueOf(point)}`;

function valueOf({ type, typeClass, value, text, unit }: Point): string {
  const shown =
    typeClass === "bool" ? value !== 0 : (value ?? JSON.stringify(text));
  return `${shown}${unit === null ? "" : ` ${unit}`} (${type})`;
}

const cut = (text: string): string =>
  text.length <= PAYLOAD_SHOWN ? text : `${text.slice(0, PAYLOAD_SHOWN)}…`;

const firstOf = (changes: readonly string[]): readonly string[] =>
  changes.length <= CHANGES_SHOWN
    ? changes
    : [
        ...changes.slice(0, CHANGES_SHOWN),
        `… and ${changes.length - CHANGES_SHOWN} more`,
      ];
