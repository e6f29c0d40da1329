/**
 * Why a reading is as it is, or why there is none: what the log gave (reading-search.ts) held against what the database knows.
 * Pure. The answer is what HTTP and the command line show, in the contracts' spelling.
 */
import {
  type ExplainedRecord,
  recordOf,
  suspectRecord,
} from "./explained-record.js";
import type { DeadLetter, LogRecord, TypeClass } from "./message.js";
import type { ReadingQuestion, Witness } from "./reading-search.js";
import type { LogPlace } from "./replay.js";
import { toIso } from "./time.js";

export type ExplainOutcome =
  /** The row holds what the record says. */
  | "stored"
  /** Another value stood there already, or stands earlier in the same message. */
  | "conflict"
  /** The number is one that averages cannot bear, or the database refused it. */
  | "refused"
  /** The broker delivered the message twice, and the first delivery counts. */
  | "redelivered"
  | "dead_lettered"
  /** On the log, beyond what is stored. */
  | "in_flight"
  | "beyond_retention"
  /** It came with an upload. */
  | "uploaded"
  /** The row is there and no record gives it: an upload, or a part of the log that is gone. */
  | "no_record"
  /** It should be there and is not, or is another: see `twinstream ledger verify`. */
  | "missing"
  | "unknown_device"
  /** Nothing on the log gives it. */
  | "never_came";

/** What the database knows of one reading. Times are microseconds since the Unix epoch. */
export interface ReadingFacts {
  /** Whether the tenant has such a device. */
  readonly deviceKnown: boolean;
  /** One for each type class that the point was seen with. */
  readonly sensors: readonly SensorFacts[];
  /** First offset of the partition that is not stored yet; -1 when nothing is. */
  readonly nextOffset: number;
}

export interface SensorFacts {
  readonly typeClass: TypeClass;
  readonly row: {
    readonly value: number | null;
    readonly text: string | null;
    /** When its transaction was committed; null where the server does not keep that (track_commit_timestamp), or no more. */
    readonly storedUs: number | null;
  } | null;
  /** Times of the nearest readings before and after, within eight days; null when there is none. */
  readonly earlierUs: number | null;
  readonly laterUs: number | null;
}

export interface LetterFacts extends LogPlace {
  readonly id: number;
  /** -1 for the whole record. */
  readonly item: number;
  readonly reason: string;
  readonly detail: string;
  readonly storedUs: number;
}

export interface KnownFacts extends ReadingFacts {
  readonly letters: readonly LetterFacts[];
  /** Raw rows before it may have been dropped, microseconds. */
  readonly rowsFromUs: number;
}

/** Where was looked: offsets [from, to) of one partition. */
export interface Searched {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  /** Of the device. */
  readonly records: number;
  /** Log time of the first record that the log still has, ISO 8601, when older ones that might tell are gone; else null. */
  readonly log_begins: string | null;
}

export interface Explanation {
  readonly device_id: string;
  readonly tenant: string;
  readonly point: string;
  readonly at: string;
  readonly outcome: ExplainOutcome;
  /** A sentence. */
  readonly why: string;
  /** What the table holds now; null for nothing. */
  readonly value: number | boolean | string | null;
  /** When the row's transaction was committed; null where the server does not keep it. */
  readonly stored_at: string | null;
  readonly record: ExplainedRecord | null;
  readonly letter: {
    readonly id: number;
    readonly item: number;
    readonly reason: string;
    readonly detail: string;
    readonly at: string;
  } | null;
  /** Claim id of the upload it came with. */
  readonly claim_id: string | null;
  /** Times of the point's nearest readings, within eight days. */
  readonly nearest: {
    readonly earlier: string | null;
    readonly later: string | null;
  };
  readonly searched: Searched;
}

export function explanationOf(
  question: ReadingQuestion,
  found: {
    readonly witness: Witness | null;
    readonly suspects: readonly DeadLetter[];
  },
  facts: KnownFacts,
  searched: Searched,
): Explanation {
  const { witness } = found;
  const suspect = witness === null ? found.suspects[0] : undefined;
  const record = witness?.message.source ?? suspect?.source;
  const ofRecord = facts.letters.filter(
    (letter) =>
      letter.offset === record?.offset && letter.partition === record.partition,
  );
  const whole = ofRecord.find(({ item }) => item === -1) ?? null;
  const own = ofRecord.find(({ item }) => item === witness?.point.item) ?? null;
  const letter = whole ?? own;
  const sensor =
    facts.sensors.find(
      ({ typeClass }) => typeClass === witness?.point.typeClass,
    ) ??
    facts.sensors.find(({ row }) => row !== null) ??
    facts.sensors[0];
  const row = sensor?.row ?? null;
  const [outcome, why] = judge(question, found, facts, {
    row,
    whole,
    own,
    searched,
  });
  return {
    device_id: question.deviceId,
    tenant: question.tenant,
    point: question.point,
    at: toIso(question.atUs),
    outcome,
    why,
    value:
      row === null
        ? null
        : sensor!.typeClass === "bool"
          ? row.value !== 0
          : (row.text ?? row.value),
    stored_at: isoOf(row?.storedUs ?? null),
    record:
      witness !== null
        ? recordOf(witness)
        : suspect === undefined
          ? null
          : suspectRecord(suspect),
    letter:
      letter === null
        ? null
        : {
            id: letter.id,
            item: letter.item,
            reason: letter.reason,
            detail: letter.detail,
            at: toIso(letter.storedUs),
          },
    claim_id: witness?.message.kind === "bulk" ? witness.message.claimId : null,
    nearest: {
      earlier: isoOf(sensor?.earlierUs ?? null),
      later: isoOf(sensor?.laterUs ?? null),
    },
    searched,
  };
}

function judge(
  { deviceId, point, atUs }: ReadingQuestion,
  {
    witness,
    suspects,
  }: {
    readonly witness: Witness | null;
    readonly suspects: readonly DeadLetter[];
  },
  facts: KnownFacts,
  at: {
    readonly row: SensorFacts["row"];
    readonly whole: LetterFacts | null;
    readonly own: LetterFacts | null;
    readonly searched: Searched;
  },
): [ExplainOutcome, string] {
  const { row, whole, own, searched } = at;
  if (witness === null) {
    if (row !== null)
      return [
        "no_record",
        searched.log_begins === null
          ? "the row is there, and no record of the log gives it: it came with an upload"
          : `the row is there, and no record that the log still has gives it (it begins at ${searched.log_begins}): it came earlier, or with an upload`,
      ];
    const [suspect] = suspects;
    if (suspect !== undefined)
      return [
        "dead_lettered",
        `a record of the device that seems to be of that time is ${whole?.reason ?? suspect.reason}: ${whole?.detail ?? suspect.detail}`,
      ];
    if (atUs < facts.rowsFromUs)
      return [
        "beyond_retention",
        "raw readings of that time are no longer kept (RAW_RETENTION_DAYS)",
      ];
    if (!facts.deviceKnown)
      return [
        "unknown_device",
        `no device ${deviceId} of this tenant was ever heard of`,
      ];
    return [
      "never_came",
      facts.sensors.length === 0
        ? `the device is known, a point ${point} of it was never seen`
        : `no record gives ${point} at exactly this time; \`nearest\` has the times of its neighbours`,
    ];
  }
  const { message, leftOut } = witness;
  if (message.kind === "bulk")
    return [
      "uploaded",
      `it came with the upload ${message.claimId}; GET /api/v1/telemetry/claims/${message.claimId} has its state`,
    ];
  if (whole !== null)
    return [
      "dead_lettered",
      `the whole message is ${whole.reason}: ${whole.detail}`,
    ];
  if (leftOut === "conflict")
    return [
      "conflict",
      "the name stands earlier in the same message, and the first counts",
    ];
  if (leftOut === "row_refused" || own?.reason === "row_refused")
    return ["refused", own?.detail ?? "averages could not bear the number"];
  if (own?.reason === "conflict")
    return [
      "conflict",
      row === null
        ? own.detail
        : "another value of this very time was stored before; a sensor has one value per instant, and the first counts",
    ];
  if (row === null) {
    if (message.source.offset >= facts.nextOffset)
      return [
        "in_flight",
        `it is on the log and not stored yet: the partition is stored up to ${Math.max(0, facts.nextOffset)}`,
      ];
    if (message.redelivered && message.untimedId !== null)
      return [
        "redelivered",
        "the message has no time of its own and was delivered twice by the broker; the first delivery counts, at its own arrival",
      ];
    if (atUs < facts.rowsFromUs)
      return [
        "beyond_retention",
        "it was stored, and raw readings of that time are no longer kept (RAW_RETENTION_DAYS)",
      ];
    return [
      "missing",
      `the record counts as stored, and there is neither row nor dead letter: see twinstream ledger verify --offsets ${placeOf(message.source)}`,
    ];
  }
  const { value, text } = witness.point;
  return row.value === value && row.text === text
    ? ["stored", "the row holds what this record says"]
    : [
        "missing",
        `the row holds another value, and no conflict is on record: see twinstream ledger verify --offsets ${placeOf(message.source)}`,
      ];
}

const placeOf = ({ topic, partition, offset }: LogRecord): string =>
  `${topic}/${partition}:${offset}`;

const isoOf = (us: number | null): string | null =>
  us === null ? null : toIso(us);
