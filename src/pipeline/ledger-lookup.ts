/** Everything that a batch of records should have left in the database, looked for at once. */
import { isDeadLetter } from "../domain/decode.js";
import type { DeadLetter, LogRecord, Message } from "../domain/message.js";
import { placeText, replayedPlace } from "../domain/replay.js";
import type {
  AckKey,
  CommandKey,
  EventKey,
  LedgerLetter,
  LedgerStore,
  ReadingKey,
  StoredReading,
} from "../ports.js";
import type { OffsetRange } from "./ledger-plan.js";
import type { Found } from "./ledger-verdict.js";

export interface Decoded {
  readonly record: LogRecord;
  readonly outcome: Message | DeadLetter;
}

export const pointsOf = (outcome: Message | DeadLetter) =>
  !isDeadLetter(outcome) && outcome.kind === "data" ? outcome.points : [];

const NO_ITEMS: ReadonlyMap<number, string> = new Map();

export async function lookUp(
  batch: readonly Decoded[],
  { topic, partition }: OffsetRange,
  { store, clusterId }: { store: LedgerStore; clusterId: string },
): Promise<Found[]> {
  const readings: ReadingKey[] = [];
  const events = keysBy<EventKey>();
  const acks = keysBy<AckKey>();
  const commands = keysBy<CommandKey>();
  for (const [i, { outcome }] of batch.entries()) {
    if (isDeadLetter(outcome)) continue;
    const { tenant, deviceId } = outcome;
    if (outcome.kind === "data") {
      const { timeUs } = outcome;
      for (const { name, typeClass } of outcome.points)
        readings.push({ tenant, deviceId, name, typeClass, timeUs });
    } else if (outcome.kind === "event") {
      const { timeUs, hash } = outcome;
      events.add(i, { tenant, deviceId, timeUs, hash });
    } else if (outcome.kind === "ack") {
      const { cmdId, execUs, hash } = outcome;
      acks.add(i, { tenant, deviceId, cmdId, execUs, hash });
    } else if (outcome.kind === "command") {
      const { cmdId } = outcome.command;
      commands.add(i, { tenant, deviceId, cmdId });
    }
  }
  const from = batch[0]!.record.offset;
  const to = batch.at(-1)!.record.offset + 1;
  const [rows, letters, ...missing] = await Promise.all([
    readings.length === 0 ? [] : store.readings(readings),
    store.letters({ topic, partition, from, to }, clusterId),
    events.missing(store.events),
    acks.missing(store.acks),
    commands.missing(store.commands),
  ]);
  const absent = new Set(missing.flatMap((some) => [...some]));
  const standing = byPlace(letters);
  const replayed = await lettersOfReplays(batch, store, clusterId);

  let next = 0;
  return batch.map(({ record, outcome }, i) => {
    const count = pointsOf(outcome).length;
    const own: readonly (StoredReading | null)[] =
      count === 0 ? [] : rows.slice(next, next + count);
    next += count;
    const present = !absent.has(i);
    const took =
      !isDeadLetter(outcome) &&
      (count === 0 ? present : own.some((reading) => reading !== null));
    const here = standing.get(placeText(record));
    const first = replayed(record);
    return {
      whole: here?.whole ?? (took ? null : (first?.whole ?? null)),
      items: here?.items ?? first?.items ?? NO_ITEMS,
      readings: own,
      present,
    };
  });
}

interface Letters {
  /** Why the whole record is one; null when only points of it are. */
  whole: string | null;
  readonly items: Map<number, string>;
}

function byPlace(letters: readonly LedgerLetter[]): Map<string, Letters> {
  const places = new Map<string, Letters>();
  for (const { item, reason, ...place } of letters) {
    const name = placeText(place);
    const one = places.get(name) ?? { whole: null, items: new Map() };
    places.set(name, one);
    if (item === -1) one.whole = reason;
    else one.items.set(item, reason);
  }
  return places;
}

/** What fails again when it is replayed keeps its first letter: none stands at the new offset. */
async function lettersOfReplays(
  batch: readonly Decoded[],
  store: LedgerStore,
  clusterId: string,
): Promise<(record: LogRecord) => Letters | undefined> {
  const origins = batch.flatMap(({ record }) => replayedPlace(record) ?? []);
  if (origins.length === 0) return () => undefined;
  const letters = byPlace(await store.lettersAt(origins, clusterId));
  return (record) => {
    const place = replayedPlace(record);
    return place === null ? undefined : letters.get(placeText(place));
  };
}

/** Keys of one kind with the index of the record that each belongs to. */
function keysBy<K>() {
  const indexes: number[] = [];
  const keys: K[] = [];
  return {
    add(index: number, key: K): void {
      indexes.push(index);
      keys.push(key);
    },
    /** Indexes of those that are not there. */
    async missing(
      find: (keys: readonly K[]) => Promise<boolean[]>,
    ): Promise<number[]> {
      if (keys.length === 0) return [];
      const there = await find(keys);
      return indexes.filter((_, i) => !there[i]);
    },
  };
}
