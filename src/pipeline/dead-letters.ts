/**
 * Dead letters on their way to the log: the record as it came, with its reason and its origin among its headers, so that it
 * can be replayed from there.
 */
import type { DeadLetter } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import type {
  Clock,
  Flush,
  LogWriter,
  OutgoingRecord,
  RefusedRow,
} from "../ports.js";

/** Header values beyond this are cut: a broker bounds a record as a whole. */
const ERROR_CHARS = 1000;

export function deadLetterRecord(
  letter: DeadLetter,
  failedAtMs: number,
): OutgoingRecord {
  const { source } = letter;
  return {
    key: source.key === null ? null : source.key.toString("utf8"),
    value: source.value,
    headers: {
      ...source.headers,
      reason: letter.reason,
      error: letter.detail.slice(0, ERROR_CHARS),
      "source-topic": source.topic,
      "source-partition": String(source.partition),
      "source-offset": String(source.offset),
      attempts: String(letter.attempts),
      "failed-at": new Date(failedAtMs).toISOString(),
    },
  };
}

/**
 * Puts a flush's dead letters on the log: each once, however often its transaction is tried. Conflicts are kept in the
 * database alone.
 */
export function deadLetterProducer(
  log: LogWriter,
  clock: Clock,
  flush: Flush,
): (refused: readonly RefusedRow[]) => Promise<void> {
  const letters = [
    ...flush.deadLetters,
    ...flush.changes.flatMap((change) => change.deadLetters),
  ].filter((letter) => letter.reason !== "conflict");
  const produced = new Set<string>();
  return async (refused) => {
    const all = [...letters, ...refused.map(letterOf)];
    const fresh = new Map<string, DeadLetter>();
    for (const letter of all) {
      const place = placeOf(letter);
      if (!produced.has(place) && !fresh.has(place)) fresh.set(place, letter);
    }
    if (fresh.size === 0) return;
    const atMs = clock();
    await log.append(
      TOPIC.dataDeadLetters,
      [...fresh.values()].map((letter) => deadLetterRecord(letter, atMs)),
    );
    for (const place of fresh.keys()) produced.add(place);
  };
}

const letterOf = ({ row, detail }: RefusedRow): DeadLetter => ({
  source: row.source,
  reason: "row_refused",
  detail,
  tenant: row.sensor.device.tenant,
  deviceId: row.sensor.device.deviceId,
  topic: row.source.topic,
  payload: row.source.value ?? Buffer.alloc(0),
  item: row.item,
  attempts: 1,
});

/** One record is produced once for a reason, whichever of its readings it holds for. */
const placeOf = ({ source, reason }: DeadLetter): string =>
  `${source.topic}/${source.offset}/${reason}`;
