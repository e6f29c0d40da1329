/** What becomes of records and readings in the check of the log, counted, and what differs. */
export type RecordClass =
  | "stored"
  | "duplicate"
  | "noted"
  | "dead_lettered"
  /** The log still has it, the database's retention has taken what it left. */
  | "beyond_retention"
  /** Something of it is missing or other than it should be. */
  | "differing";
export type ReadingClass =
  | "stored"
  | "duplicate"
  | "conflict"
  | "refused"
  | "beyond_retention"
  | "differing";

export type DifferenceKind =
  | "row_missing"
  | "value_changed"
  | "row_doubled"
  | "letter_missing"
  | "letter_differs"
  | "event_missing"
  | "ack_missing"
  | "command_missing";

export interface Difference {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Index of the point within its message; -1 for the whole record. */
  readonly item: number;
  readonly kind: DifferenceKind;
  readonly detail: string;
}

export interface Tally {
  readonly records: Record<RecordClass, number>;
  readonly readings: Record<ReadingClass, number>;
  /** Records by the reason of their letter. */
  readonly deadLetters: Map<string, number>;
  /** Duplicates known by the broker's flag alone: the message that they repeat was not in the range. */
  unproven: number;
  differences: number;
}

export const newTally = (): Tally => ({
  records: {
    stored: 0,
    duplicate: 0,
    noted: 0,
    dead_lettered: 0,
    beyond_retention: 0,
    differing: 0,
  },
  readings: {
    stored: 0,
    duplicate: 0,
    conflict: 0,
    refused: 0,
    beyond_retention: 0,
    differing: 0,
  },
  deadLetters: new Map(),
  unproven: 0,
  differences: 0,
});
