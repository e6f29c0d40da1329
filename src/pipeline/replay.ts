/**
 * Replaying dead letters: which ones, the database says; their records, untouched, are on the dead-letter topic. They are
 * appended to `iot-data` in log order, so in the order of each device, after they were marked `replaying`; what becomes of
 * each is written by the flush that takes it. Whatever dies in between, the same replay goes on: letters that are settled are
 * left out, and one that is on its way twice is stored once, since rows are unique.
 */
import { isDeadLetter } from "../domain/decode.js";
import type { DeadLetter, LogRecord, Message } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import { placeText, replayHeaders, sourceOfLetter } from "../domain/replay.js";
import type {
  LetterDesk,
  LetterFilter,
  LetterReplayer,
  LogInspector,
  LogWriter,
  Rehearsal,
  ReplayBounds,
  ReplayPlace,
  Sample,
} from "../ports.js";

export interface ReplayDeps {
  readonly desk: Pick<LetterDesk, "replayable" | "markReplaying">;
  readonly log: Pick<LogInspector, "bounds" | "offsetsAt" | "read">;
  readonly writer: LogWriter;
}

/** One look through the dead-letter topic finds so many records at most … */
const WAVE_PLACES = 20_000;
/** … and holds so many bytes of them. */
const WAVE_BYTES = 32 * 1024 * 1024;
/** Records of one append. */
const APPEND_RECORDS = 1000;
/** A letter's row is written in the transaction that puts it on the log: later only when that was tried again. */
const ROW_AFTER_RECORD_MS = 3_600_000;

interface Found extends ReplayPlace {
  /** Null when the log's retention has taken it. */
  readonly letter: LogRecord | null;
}

/** Dead letters with their records, in log order. */
async function* waves(
  { desk, log }: ReplayDeps,
  filter: LetterFilter,
  { limit = Infinity, signal }: ReplayBounds,
): AsyncGenerator<Found[]> {
  let after: ReplayPlace | null = null;
  for (let left = limit; left > 0;) {
    const wanted = await desk.replayable(
      filter,
      after,
      Math.min(left, WAVE_PLACES),
    );
    if (wanted.length === 0) return;
    const letters = await look(log, wanted, signal);
    const wave = wanted.map((place) => ({
      ...place,
      letter: letters.get(placeText(place)) ?? null,
    }));
    after = wanted.at(-1)!;
    left -= wanted.length;
    yield wave;
  }
}

/** The records of these places by place. Where they are too large to hold together, the last places are taken off `wanted`. */
async function look(
  log: ReplayDeps["log"],
  wanted: ReplayPlace[],
  signal: AbortSignal,
): Promise<Map<string, LogRecord>> {
  const missing = new Set(wanted.map(placeText));
  const found = new Map<string, LogRecord>();
  let bytes = 0;

  async function each(records: LogRecord[]): Promise<void> {
    for (const record of records) {
      const source = sourceOfLetter(record);
      const place = source === null ? "" : placeText(source);
      // A letter that failed again is there several times, with the same value.
      if (!missing.delete(place)) continue;
      found.set(place, record);
      bytes += record.value?.length ?? 0;
    }
    while (bytes > WAVE_BYTES && wanted.length > 1) {
      const last = placeText(wanted.pop()!);
      missing.delete(last);
      bytes -= found.get(last)?.value?.length ?? 0;
      found.delete(last);
    }
  }

  const topic = TOPIC.dataDeadLetters;
  const bounds = await log.bounds(topic);
  const oldestMs = wanted.reduce(
    (ms, { atMs }) => Math.min(ms, atMs),
    Infinity,
  );
  const likely = await log.offsetsAt(topic, oldestMs - ROW_AFTER_RECORD_MS);
  for (const [partition, { high }] of bounds.entries())
    if (missing.size > 0)
      await log.read(
        { topic, partition, from: likely[partition]!, to: high },
        each,
        signal,
      );
  for (const [partition, { low }] of bounds.entries())
    if (missing.size > 0)
      await log.read(
        { topic, partition, from: low, to: likely[partition]! },
        each,
        signal,
      );
  return found;
}

export const createReplayer = (deps: ReplayDeps): LetterReplayer => ({
  async replay(filter, bounds, progress = () => undefined) {
    let appended = 0;
    let gone = 0;
    for await (const wave of waves(deps, filter, bounds)) {
      const there = wave.filter(({ letter }) => letter !== null);
      gone += wave.length - there.length;
      for (let from = 0; from < there.length; from += APPEND_RECORDS) {
        bounds.signal.throwIfAborted();
        const some = there.slice(from, from + APPEND_RECORDS);
        const ids = some.flatMap((place) => place.ids);
        await deps.desk.markReplaying(filter.tenant, bounds.run, ids);
        await deps.writer.append(TOPIC.data, some.map(recordOf));
        appended += some.length;
        progress({ appended, gone });
      }
    }
    return { appended, gone };
  },

  async rehearse(filter, bounds, progress = () => undefined) {
    const told: Told = {
      stored: { messages: 0, points: 0 },
      noted: 0,
      failed: {},
      gone: 0,
      samples: [],
    };
    const shown = new Map<string, number>();
    let looked = 0;
    for await (const wave of waves(deps, filter, bounds)) {
      for (const { letter, ids, topic, partition, offset } of wave) {
        if (letter === null) {
          told.gone++;
          continue;
        }
        const outcome = bounds.decode({ ...letter, topic, partition, offset });
        const kind = count(told, outcome);
        const before = shown.get(kind) ?? 0;
        shown.set(kind, before + 1);
        if (before < SAMPLES)
          told.samples.push({
            id: ids[0]!,
            outcome: kind,
            device: outcome.deviceId,
            says: inWords(outcome),
          });
      }
      looked += wave.length;
      progress(looked);
    }
    return told;
  },
});

function recordOf({ letter, ofPoints, ...place }: Found) {
  const { key, value } = letter!;
  return {
    key: key === null ? null : key.toString("utf8"),
    value,
    headers: replayHeaders(letter!, place, ofPoints),
  };
}

const SAMPLES = 3;
const SAMPLE_POINTS = 5;

/** A rehearsal as it is put together. */
type Told = {
  -readonly [K in keyof Rehearsal]: Rehearsal[K];
};

function count(told: Told, outcome: Message | DeadLetter): Sample["outcome"] {
  if (isDeadLetter(outcome)) {
    told.failed[outcome.reason] = (told.failed[outcome.reason] ?? 0) + 1;
    return outcome.reason;
  }
  if (outcome.kind !== "data") {
    told.noted++;
    return "noted";
  }
  told.stored.messages++;
  told.stored.points += outcome.points.length;
  return "stored";
}

function inWords(outcome: Message | DeadLetter): string {
  if (isDeadLetter(outcome)) return outcome.detail;
  if (outcome.kind !== "data") return outcome.kind;
  const points = outcome.points
    .slice(0, SAMPLE_POINTS)
    .map(({ name, value, text }) => `${name} = ${text ?? value}`);
  const more = outcome.points.length - points.length;
  return points.join(", ") + (more > 0 ? `, and ${more} more` : "");
}
