/** Dead letters as they must be kept: once in the database with the device's own bytes, once on the log as the record came. */
import { createHash } from "node:crypto";
import * as assert from "uvu/assert";
import type { LogRecord } from "../../src/domain/message.js";
import type { Running } from "../support/fleet.js";

/** What of a payload a row keeps. */
const KEPT_BYTES = 64 * 1024;

export interface Letter {
  readonly topic: string;
  readonly reason: string;
  readonly item: number;
  readonly bytes: Buffer;
  readonly detail: string;
}

export interface StoredLetter {
  readonly topic: string;
  readonly reason: string;
  readonly detail: string;
  readonly attempts: number;
  readonly item: number;
  readonly payload: Buffer;
  readonly payload_size: number;
  readonly truncated: boolean;
  readonly place: string;
}

/** A long text as its length and hash, so that a difference can be read. */
export const brief = (text: string): string =>
  text.length <= 200
    ? text
    : `${text.length} characters, ${createHash("sha256").update(text).digest("hex")}`;

/** The rows of `ingest_errors` are these and no others, each with its bytes; answers them. */
export async function checkLetters(
  running: Running,
  expected: readonly Letter[],
): Promise<StoredLetter[]> {
  const { rows } = await running.database.query<StoredLetter>(
    `SELECT topic, reason, detail, attempts, item, payload, payload_size, truncated,
            concat_ws('/', log_topic, log_partition, log_offset) AS place
     FROM ingest_errors`,
  );
  const nameOf = ({ topic, reason, item }: Letter | StoredLetter): string =>
    `${topic} ${reason} ${item}`;
  assert.equal(
    rows.map(nameOf).toSorted(),
    expected.map(nameOf).toSorted(),
    "topic, reason and item of every row of ingest_errors",
  );
  const left = [...rows];
  for (const letter of expected) {
    const { bytes } = letter;
    // Several foreign records share a name: each takes the row that holds its bytes.
    const at = left.findIndex(
      (row) =>
        nameOf(row) === nameOf(letter) &&
        row.detail.includes(letter.detail) &&
        row.payload.equals(bytes.subarray(0, KEPT_BYTES)) &&
        row.payload_size === bytes.length &&
        row.truncated === bytes.length > KEPT_BYTES,
    );
    if (at < 0)
      assert.unreachable(
        `no letter ${nameOf(letter)} with "${letter.detail}" and its own ${bytes.length} bytes; there is: ${JSON.stringify(
          left
            .filter((row) => nameOf(row) === nameOf(letter))
            .map((row) => [row.detail, brief(row.payload.toString("latin1"))]),
        )}`,
      );
    left.splice(at, 1);
  }
  return rows;
}

/** Every refused record is there once, as it came, and says why. */
export function checkDeadLetterTopic(
  letters: readonly StoredLetter[],
  sources: ReadonlyMap<string, LogRecord>,
  dead: readonly LogRecord[],
): void {
  const whole = letters.filter(({ reason }) => reason !== "conflict");
  const placeOf = ({ headers }: LogRecord): string =>
    `${headers["source-topic"]}/${headers["source-partition"]}/${headers["source-offset"]}`;
  assert.equal(
    dead.map(placeOf).toSorted(),
    whole.map(({ place }) => place).toSorted(),
    "origins of the dead letters on the log",
  );
  const byPlace = new Map(whole.map((letter) => [letter.place, letter]));
  for (const record of dead) {
    const place = placeOf(record);
    const letter = byPlace.get(place)!;
    const source = sources.get(place)!;
    const { reason, error, attempts } = record.headers;
    assert.is(reason, letter.reason, place);
    assert.is(error, letter.detail, place);
    assert.is(attempts, String(letter.attempts), place);
    const failedMs = Date.parse(record.headers["failed-at"]!);
    assert.ok(Math.abs(Date.now() - failedMs) < 120_000, place);
    assert.is(text(record.key), text(source.key), `${place}: its key`);
    assert.ok(
      record.value === null
        ? source.value === null
        : source.value !== null && record.value.equals(source.value),
      `${place}: its value untouched`,
    );
  }
}

const text = (bytes: Buffer | null): string | null =>
  bytes === null ? null : bytes.toString("latin1");
