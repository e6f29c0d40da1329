/**
 * Dead letters as rows of `ingest_errors`, within a flush. The same letter again (a record that is read again) changes
 * nothing; that of a replay which failed again takes the new reason, once `settleReplays` has been there.
 */
import { causeOf } from "../../domain/cause.js";
import type { DeadLetter } from "../../domain/message.js";
import { readingBytes } from "../../domain/message-letter.js";
import { type LogPlace, placeText } from "../../domain/replay.js";
import type { Row } from "../../domain/device.js";
import type { DeadLetterReason } from "../../errors.js";
import type { RefusedRow } from "../../ports.js";
import { type Session, storable, storableOrNull } from "./connect.js";
import type { Conflict } from "./staging.js";
import { toIso } from "../../domain/time.js";

/** A dead letter's payload is kept up to here; the row says how long it was. */
const PAYLOAD_BYTES = 64 * 1024;
/** Payloads that one statement carries at most (they travel as hex, twice as long). */
const STATEMENT_BYTES = 4 * 1024 * 1024;
const STATEMENT_ROWS = 1_000;
const DETAIL_UNITS = 2_000;

/**
 * An offset belongs to one log: a letter of another cluster at the same place is replaced. One whose state this transaction
 * has just moved is of a replay, and keeps the time of its first failure. (now() is the transaction's.)
 */
const INSERT = `
  INSERT INTO ingest_errors AS e (tenant_id, device_id, topic, payload, payload_size, truncated, reason, detail, attempts,
                                  log_topic, log_partition, log_offset, item, fingerprint, cause, adapter, firmware,
                                  cluster_id)
  SELECT l.*, $18 FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::int[], $6::boolean[], $7::text[],
                              $8::text[], $9::int[], $10::text[], $11::int[], $12::bigint[], $13::int[], $14::text[],
                              $15::text[], $16::text[], $17::text[]) AS l
  ON CONFLICT (log_topic, log_partition, log_offset, item) DO UPDATE
  SET tenant_id = excluded.tenant_id, device_id = excluded.device_id, topic = excluded.topic, payload = excluded.payload,
      payload_size = excluded.payload_size, truncated = excluded.truncated, reason = excluded.reason,
      detail = excluded.detail, cluster_id = excluded.cluster_id, fingerprint = excluded.fingerprint,
      cause = excluded.cause, adapter = excluded.adapter, firmware = excluded.firmware, state = 'open',
      attempts = CASE WHEN e.moved_at = now() THEN e.attempts + 1 ELSE excluded.attempts END,
      ts = CASE WHEN e.moved_at = now() THEN e.ts ELSE now() END
  WHERE e.cluster_id IS DISTINCT FROM excluded.cluster_id OR e.moved_at = now()`;

/** What a replay took effect for is stored; where the record fails as a whole, its letters are open again. */
const SETTLE = `
  UPDATE ingest_errors e SET state = CASE WHEN p.failed THEN 'open' ELSE 'stored' END, moved_at = now()
  FROM unnest($1::text[], $2::int[], $3::bigint[], $4::boolean[]) AS p (topic, in_partition, at_offset, failed)
  WHERE e.log_topic = p.topic AND e.log_partition = p.in_partition AND e.log_offset = p.at_offset
    AND e.state IN ('open', 'replaying') AND e.reason <> 'conflict' AND e.cluster_id = $5`;

/** Before the letters of the same flush are stored: one that fails again has moved already, and is opened by its letter. */
export async function settleReplays(
  session: Session,
  replays: readonly LogPlace[],
  letters: readonly DeadLetter[],
  clusterId: string,
): Promise<void> {
  if (replays.length === 0) return;
  const failed = new Set<string>();
  for (const { item, source } of letters)
    if (item < 0) failed.add(placeText(source));
  const places = [
    ...new Map(replays.map((at) => [placeText(at), at])).values(),
  ];
  await session.run(SETTLE, [
    places.map(({ topic }) => topic),
    places.map(({ partition }) => partition),
    places.map(({ offset }) => offset),
    places.map((place) => failed.has(placeText(place))),
    clusterId,
  ]);
}

export async function storeDeadLetters(
  session: Session,
  letters: readonly DeadLetter[],
  clusterId: string,
): Promise<void> {
  for (const some of portions(uniqueByPlace(letters))) {
    const causes = some.map(causeOf);
    await session.run(INSERT, [
      some.map((l) => storableOrNull(l.tenant)),
      some.map((l) => storableOrNull(l.deviceId)),
      some.map((l) => storable(l.topic)),
      some.map((l) => l.payload.subarray(0, PAYLOAD_BYTES)),
      some.map((l) => l.payload.length),
      some.map((l) => l.payload.length > PAYLOAD_BYTES),
      some.map((l) => l.reason),
      some.map((l) => storable(l.detail.slice(0, DETAIL_UNITS))),
      some.map((l) => l.attempts),
      some.map((l) => l.source.topic),
      some.map((l) => l.source.partition),
      some.map((l) => l.source.offset),
      some.map((l) => l.item),
      causes.map(({ fingerprint }) => fingerprint),
      causes.map(({ cause }) => storable(cause)),
      causes.map(({ adapter }) => adapter && storable(adapter)),
      causes.map(({ firmware }) => firmware && storable(firmware)),
      clusterId,
    ]);
  }
}

/** One statement cannot meet the same key twice; the first letter of a place is the one that counts. */
function uniqueByPlace(letters: readonly DeadLetter[]): DeadLetter[] {
  const places = new Map<string, DeadLetter>();
  for (const letter of letters) {
    const { topic, partition, offset } = letter.source;
    const place = `${topic}/${partition}/${offset}/${letter.item}`;
    if (!places.has(place)) places.set(place, letter);
  }
  return [...places.values()];
}

function* portions(letters: readonly DeadLetter[]): Generator<DeadLetter[]> {
  let some: DeadLetter[] = [];
  let bytes = 0;
  for (const letter of letters) {
    some.push(letter);
    bytes += Math.min(letter.payload.length, PAYLOAD_BYTES);
    if (some.length >= STATEMENT_ROWS || bytes >= STATEMENT_BYTES) {
      yield some;
      some = [];
      bytes = 0;
    }
  }
  if (some.length > 0) yield some;
}

export function letterOfConflict({ row, value, text }: Conflict): DeadLetter {
  return letterOfRow(
    row,
    "conflict",
    `${nameOf(row)} holds ${JSON.stringify(text ?? value)} already; ${JSON.stringify(row.text ?? row.value)} came later`,
  );
}

export function letterOfRefused({ row, detail }: RefusedRow): DeadLetter {
  return letterOfRow(row, "row_refused", `${nameOf(row)}: ${detail}`);
}

/** Its payload is the reading alone: a message may hold a thousand, and its bytes are on the log. */
function letterOfRow(
  row: Row,
  reason: DeadLetterReason,
  detail: string,
): DeadLetter {
  const { device, name, type } = row.sensor;
  const { value, text } = row;
  return {
    source: row.source,
    reason,
    detail,
    tenant: device.tenant,
    deviceId: device.deviceId,
    topic: row.source.topic,
    payload: readingBytes({ name, type, value, text }, row.timeUs),
    item: row.item,
    attempts: 1,
  };
}

function nameOf(row: Row): string {
  return `${row.sensor.name} of ${row.sensor.device.address} at ${toIso(row.timeUs)}`;
}
