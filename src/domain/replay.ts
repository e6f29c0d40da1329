/**
 * Dead letters taken again. A replay is the record as it was (key, value, headers), appended to `iot-data` once more, with a
 * header that says where it lay first. To the decoder it is the record of that place: what it gives, and what it fails with,
 * belongs there, and its arrival is the one in its envelope.
 */
import type { DeadLetterReason } from "../errors.js";
import { HEADER, type LogHeaders, type LogRecord } from "./message.js";
import { TOPIC } from "./names.js";

export interface LogPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What the headers of a dead-letter record say of it; the others are the original record's. */
const LETTER_HEADERS = [
  "reason",
  "error",
  "source-topic",
  "source-partition",
  "source-offset",
  "attempts",
  "failed-at",
] as const;

export const placeText = ({ topic, partition, offset }: LogPlace): string =>
  `${topic}/${partition}/${offset}`;

const PLACE = /^(\d{1,9})\/(\d{1,15})$/;

/** Where a replayed record lay first; null for every other record, and where the header is none of ours. */
export function replayedPlace(record: LogRecord): LogPlace | null {
  const given = record.headers[HEADER.replayOf];
  if (given === undefined || record.topic !== TOPIC.data) return null;
  const [topic, rest] = [TOPIC.data, given.slice(TOPIC.data.length + 1)];
  const found = given.startsWith(`${topic}/`) ? PLACE.exec(rest) : null;
  if (found === null) return null;
  const place = {
    topic,
    partition: Number(found[1]),
    offset: Number(found[2]),
  };
  // What is replayed was there before.
  const before =
    place.partition !== record.partition || place.offset < record.offset;
  return before ? place : null;
}

export const isReplay = ({ headers }: LogRecord): boolean =>
  headers[HEADER.replayOf] !== undefined;

/** The record at the place where it lay first. */
export function originOf(record: LogRecord): LogRecord {
  const place = replayedPlace(record);
  return place === null ? record : { ...record, ...place };
}

/** Where the record of a dead letter lay; null when it does not say so. */
export function sourceOfLetter({ headers }: LogRecord): LogPlace | null {
  const topic = headers["source-topic"];
  const partition = Number(headers["source-partition"]);
  const offset = Number(headers["source-offset"]);
  return topic !== undefined &&
    Number.isInteger(partition) &&
    Number.isInteger(offset)
    ? { topic, partition, offset }
    : null;
}

/**
 * The headers of its replay. Where points of a message were refused, the message is among the last ones of its device, by
 * which a redelivery is known: it must not be taken for one of itself.
 */
export function replayHeaders(
  letter: LogRecord,
  place: LogPlace,
  ofPoints: boolean,
): LogHeaders {
  const headers: Record<string, string> = { ...letter.headers };
  for (const name of LETTER_HEADERS) delete headers[name];
  if (ofPoints) delete headers[HEADER.dup];
  headers[HEADER.replayOf] = placeText(place);
  return headers;
}

const NEVER: Partial<Record<DeadLetterReason, string>> = {
  conflict:
    "another value of that instant is stored, and the first one counts; this one is kept here alone",
  too_large: "only the head of its payload was kept",
  wrong_partition:
    "it lies under another key than its device's: whoever wrote it has to send it again under the right one",
  bad_topic: "its MQTT topic names no device",
};

export const UNREPLAYABLE = Object.keys(NEVER) as DeadLetterReason[];

/** Why a dead letter cannot be replayed; null when it can. */
export function whyNotReplayable(
  topic: string,
  reason: DeadLetterReason,
): string | null {
  if (topic === TOPIC.uploads)
    return "it is of an upload: see twinstream claims reprocess";
  if (topic === TOPIC.commands)
    return "it is a command, and those are not given late: give it again";
  return NEVER[reason] ?? null;
}
