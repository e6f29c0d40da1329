/** Looks through a device's records for the first that gives one point at one time. Pure, but for what it remembers. */
import { TIME_FIELDS } from "./adapters/plain.js";
import { isDeadLetter } from "./decode.js";
import type {
  BulkMessage,
  DataMessage,
  DeadLetter,
  LogRecord,
  Message,
  Point,
} from "./message.js";
import { address } from "./names.js";
import { parseTime } from "./time.js";

export interface ReadingQuestion {
  readonly tenant: string;
  readonly deviceId: string;
  /** The point's name. */
  readonly point: string;
  readonly atUs: number;
}

/** 2200-01-01, microseconds: no reading is later, and PostgreSQL takes every time before. */
const END_US = 7_258_118_400_000_000;

/** The time of a reading as people write it: ISO 8601, Unix seconds or milliseconds, from 1970 to 2199; null for others. */
export function askedTime(text: string): number | null {
  const us = parseTime(/^\d+(\.\d+)?$/.test(text) ? Number(text) : text);
  return us >= 0 && us < END_US ? us : null;
}

/** A record that gives the asked point at the asked time. */
export interface Witness {
  readonly message: DataMessage | BulkMessage;
  readonly point: Point;
  /** Why the point never was to become a row; null when it was. */
  readonly leftOut: "conflict" | "row_refused" | null;
}

export interface ReadingSearch {
  /** Answers whether the search is over. */
  take(records: readonly LogRecord[]): boolean;
  readonly witness: Witness | null;
  /** Records of the device that decode to no message and may have held the reading, oldest first. */
  readonly suspects: readonly DeadLetter[];
  /** Records of the device that were looked at. */
  readonly seen: number;
}

const MOST_SUSPECTS = 5;
/** A record whose time cannot be read is a suspect when it came this close to the asked time. */
const NEAR_MS = 60_000;

export function createReadingSearch(
  question: ReadingQuestion,
  decode: (record: LogRecord) => Message | DeadLetter,
): ReadingSearch {
  const key = Buffer.from(address(question.tenant, question.deviceId));
  const suspects: DeadLetter[] = [];
  let witness: Witness | null = null;
  let seen = 0;

  return {
    take(records) {
      for (const record of records) {
        if (witness !== null) break;
        if (record.key === null || !record.key.equals(key)) continue;
        seen++;
        const outcome = decode(record);
        if (!isDeadLetter(outcome)) witness = witnessOf(outcome, question);
        else if (suspects.length < MOST_SUSPECTS && mayHold(outcome, question))
          suspects.push(outcome);
      }
      return witness !== null;
    },
    get witness() {
      return witness;
    },
    suspects,
    get seen() {
      return seen;
    },
  };
}

function witnessOf(
  message: Message,
  { point: name, atUs }: ReadingQuestion,
): Witness | null {
  if (message.kind === "bulk") {
    const times = bulkTimes(message);
    const point = message.points.find(
      (one, i) => one.name === name && times[i] === atUs,
    );
    return point === undefined ? null : { message, point, leftOut: null };
  }
  if (message.kind !== "data" || message.timeUs !== atUs) return null;
  for (const [points, leftOut] of [
    [message.points, null],
    [message.refused, "row_refused"],
    [message.conflicts, "conflict"],
  ] as const) {
    const point = points.find((one) => one.name === name);
    if (point !== undefined) return { message, point, leftOut };
  }
  return null;
}

/** A note's points have times of their own. */
function bulkTimes(message: BulkMessage): number[] {
  const { points } = JSON.parse(message.payload) as {
    points: { ts: unknown }[];
  };
  return points.map(({ ts }) => parseTime(ts));
}

function mayHold(letter: DeadLetter, { atUs }: ReadingQuestion): boolean {
  const own = ownTime(letter.payload);
  return Number.isNaN(own)
    ? Math.abs(letter.source.timestampMs * 1000 - atUs) <= NEAR_MS * 1000
    : own === atUs;
}

/** The time that a payload seems to give, whatever else is wrong with it; NaN when none can be read. */
function ownTime(payload: Buffer): number {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    return Number.NaN; // Not JSON: that is why it is a dead letter.
  }
  if (typeof value !== "object" || value === null) return Number.NaN;
  const loose = value as Readonly<Record<string, unknown>>;
  for (const field of TIME_FIELDS) {
    const us = parseTime(loose[field]);
    if (!Number.isNaN(us)) return us;
  }
  return Number.NaN;
}
