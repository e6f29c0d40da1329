/**
 * What one record of the log must have left in the database, held against what is there. Pure, but for the tally it adds to.
 *
 * Every record is exactly one of `RecordClass`, every reading one of `ReadingClass`. What decoding says today may differ from
 * what it said then (a tenant was added, an adapter mended), so a letter of the whole record stands for it whatever decoding
 * says, except that two reasons which depend on nothing but the record must agree.
 */
import { isDeadLetter } from "../domain/decode.js";
import type {
  DataMessage,
  DeadLetter,
  LogRecord,
  Message,
  Point,
} from "../domain/message.js";
import { toIso } from "../domain/time.js";
import type { StoredReading } from "../ports.js";
import type {
  Difference,
  DifferenceKind,
  ReadingClass,
  RecordClass,
  Tally,
} from "./ledger-tally.js";

/** What was found of one record. */
export interface Found {
  /** Reason of the letter of the whole record. */
  readonly whole: string | null;
  /** Reasons of letters of single points, by item. */
  readonly items: ReadonlyMap<number, string>;
  /** In the order of the message's points. */
  readonly readings: readonly (StoredReading | null)[];
  /** Whether the event, the ack or the command is there; true for what is none of them. */
  readonly present: boolean;
}

/** Reasons that depend on the record alone, and not on settings, tenants, adapters or what an actor ran into. */
const LASTING: ReadonlySet<string> = new Set([
  "parse_error",
  "invalid_schema",
  "bad_topic",
  "too_large",
]);

export interface VerdictRules {
  /** Rows of an earlier time may be gone, microseconds. */
  readonly rowsFromUs: number;
  /** Letters of records that came to the log earlier may be gone, milliseconds. */
  readonly lettersFromMs: number;
  readonly tally: Tally;
  readonly differ: (difference: Difference) => void;
}

/** Records must be given in log order, each once. */
export function createVerdict(rules: VerdictRules) {
  const { tally, rowsFromUs, lettersFromMs } = rules;
  /** Readings and untimed messages met lately, to tell a repetition. */
  const lately = createLately();

  function differ(
    { topic, partition, offset }: LogRecord,
    item: number,
    kind: DifferenceKind,
    detail: string,
  ): void {
    tally.differences++;
    rules.differ({ topic, partition, offset, item, kind, detail });
  }

  function judge(
    record: LogRecord,
    outcome: Message | DeadLetter,
    found: Found,
  ): void {
    tally.records[classOf(record, outcome, found)]++;
  }

  function classOf(
    record: LogRecord,
    outcome: Message | DeadLetter,
    found: Found,
  ): RecordClass {
    if (found.whole !== null) return letterClass(record, outcome, found.whole);
    if (isDeadLetter(outcome)) return missingLetter(record, outcome);
    const { address } = outcome;
    switch (outcome.kind) {
      case "data":
        return dataClass(record, outcome, found);
      case "event":
        return presentClass(
          record,
          found,
          `event ${address} ${outcome.timeUs} ${outcome.hash}`,
          "event_missing",
          `an event of ${address} at ${toIso(outcome.timeUs)} is not stored`,
        );
      case "ack":
        return presentClass(
          record,
          found,
          `ack ${address} ${outcome.cmdId} ${outcome.hash}`,
          "ack_missing",
          `the ack of command ${outcome.cmdId} by ${address} is not stored`,
        );
      case "command":
        return presentClass(
          record,
          found,
          `command ${address} ${outcome.command.cmdId}`,
          "command_missing",
          `command ${outcome.command.cmdId} for ${address} is not stored`,
        );
      default:
        // Hello, state, bulk note and whatever else leaves no row of its own.
        return "noted";
    }
  }

  function letterClass(
    record: LogRecord,
    outcome: Message | DeadLetter,
    reason: string,
  ): RecordClass {
    if (
      isDeadLetter(outcome) &&
      outcome.reason !== reason &&
      LASTING.has(reason) &&
      LASTING.has(outcome.reason)
    ) {
      differ(
        record,
        -1,
        "letter_differs",
        `the dead letter says ${reason}, the record is ${outcome.reason}: ${outcome.detail}`,
      );
      return "differing";
    }
    tally.deadLetters.set(reason, (tally.deadLetters.get(reason) ?? 0) + 1);
    return "dead_lettered";
  }

  function missingLetter(record: LogRecord, letter: DeadLetter): RecordClass {
    if (record.timestampMs < lettersFromMs) return "beyond_retention";
    differ(
      record,
      -1,
      "letter_missing",
      `there is no dead letter of a record that is ${letter.reason}: ${letter.detail}`,
    );
    return "differing";
  }

  function presentClass(
    record: LogRecord,
    { present }: Found,
    key: string,
    kind: DifferenceKind,
    missing: string,
  ): RecordClass {
    if (present) return lately(key) ? "duplicate" : "stored";
    differ(record, -1, kind, missing);
    return "differing";
  }

  function dataClass(
    record: LogRecord,
    message: DataMessage,
    found: Found,
  ): RecordClass {
    const { address, untimedId } = message;
    const met = untimedId !== null && lately(`untimed ${address} ${untimedId}`);
    if (
      untimedId !== null &&
      message.redelivered &&
      found.items.size === 0 &&
      found.readings.every((reading) => reading === null)
    ) {
      if (!met) tally.unproven++;
      tally.readings.duplicate += message.points.length;
      return "duplicate";
    }
    const { readings } = tally;
    const before = tally.differences;
    let duplicates = 0;
    let gone = 0;
    for (const [i, point] of message.points.entries()) {
      const one = readingClass(record, message, point, i, found);
      readings[one]++;
      if (one === "duplicate") duplicates++;
      if (one === "beyond_retention") gone++;
    }
    for (const point of message.conflicts)
      readings[leftOutClass(record, message, point, "conflict", found)]++;
    for (const point of message.refused)
      readings[leftOutClass(record, message, point, "row_refused", found)]++;
    if (tally.differences > before) return "differing";
    const all =
      message.points.length + message.conflicts.length + message.refused.length;
    if (duplicates === all) return "duplicate";
    return gone === all ? "beyond_retention" : "stored";
  }

  function readingClass(
    record: LogRecord,
    message: DataMessage,
    point: Point,
    index: number,
    found: Found,
  ): ReadingClass {
    const { address, timeUs } = message;
    const reading = found.readings[index] ?? null;
    const letter = found.items.get(point.item);
    const is = (): string =>
      `${point.name} of ${address} at ${toIso(timeUs)}: the log says ${shown(point)}`;
    if (reading === null) {
      if (letter === "row_refused") return "refused";
      // What stood in its place is gone; the record that gave it is named by itself.
      if (letter === "conflict") return "conflict";
      if (timeUs < rowsFromUs) return "beyond_retention";
      differ(record, point.item, "row_missing", `${is()}, there is no row`);
      return "differing";
    }
    if (reading.doubled) {
      differ(
        record,
        point.item,
        "row_doubled",
        `${is()}, there is more than one row`,
      );
      return "differing";
    }
    // As the database compares: 0 and -0 are equal.
    if (reading.value === point.value && reading.text === point.text)
      return lately(`${address} ${timeUs} ${point.typeClass} ${point.name}`)
        ? "duplicate"
        : "stored";
    if (letter === "conflict") return "conflict";
    if (record.timestampMs < lettersFromMs) return "beyond_retention";
    differ(
      record,
      point.item,
      "value_changed",
      `${is()}, the row says ${shown(reading)}, and no conflict is on record`,
    );
    return "differing";
  }

  /** A point that never became a row: its letter is all there is of it. */
  function leftOutClass(
    record: LogRecord,
    message: DataMessage,
    point: Point,
    reason: "conflict" | "row_refused",
    { items }: Found,
  ): ReadingClass {
    if (items.get(point.item) === reason)
      return reason === "conflict" ? "conflict" : "refused";
    if (record.timestampMs < lettersFromMs) return "beyond_retention";
    differ(
      record,
      point.item,
      "letter_missing",
      `${point.name} of ${message.address} at ${toIso(message.timeUs)}: there is no dead letter of a reading that is ${reason}`,
    );
    return "differing";
  }

  return judge;
}

const shown = ({
  value,
  text,
}: Pick<StoredReading, "value" | "text">): string =>
  JSON.stringify(text ?? value).slice(0, 100);

/** Keys kept at least; twice as many at most, of about 150 bytes each. */
const LATELY = 100_000;

/** Remembers the keys it was asked for lately; answers whether this one was among them. */
function createLately(): (key: string) => boolean {
  let young = new Set<string>();
  let old = new Set<string>();
  return (key) => {
    if (young.has(key)) return true;
    const met = old.has(key);
    young.add(key);
    if (young.size === LATELY) {
      old = young;
      young = new Set();
    }
    return met;
  };
}
