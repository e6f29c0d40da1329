/** Everything that a batch of records should have left in the database, looked for at once. */
import { isDeadLetter } from "../domain/decode.js";
import type { DeadLetter, LogRecord, Message } from "../domain/message.js";
import type {
  AckKey,
  CommandKey,
  EventKey,
  LedgerStore,
  Place,
  ReadingKey,
  StoredReading,
} from "../ports.js";
import type { OffsetRange } from "./ledger-plan.js";
import type { Found } from "./ledger-verdict.js";

/** Header of a dead letter that was put on the log again: the place of its first record. */
const REPLAY_OF = "replay-of";

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
  const wholes = new Map<number, string>();
  const items = new Map<number, Map<number, string>>();
  for (const { offset, item, reason } of letters)
    if (item === -1) wholes.set(offset, reason);
    else if (items.has(offset)) items.get(offset)!.set(item, reason);
    else items.set(offset, new Map([[item, reason]]));
  await addReplayed(batch, wholes, store, clusterId);

  let next = 0;
  return batch.map(({ record: { offset }, outcome }, i) => {
    const count = pointsOf(outcome).length;
    const own: readonly (StoredReading | null)[] =
      count === 0 ? [] : rows.slice(next, next + count);
    next += count;
    return {
      whole: wholes.get(offset) ?? null,
      items: items.get(offset) ?? NO_ITEMS,
      readings: own,
      present: !absent.has(i),
    };
  });
}

/** A dead letter that fails again when it is replayed keeps its first row: no second letter stands at the new offset. */
async function addReplayed(
  batch: readonly Decoded[],
  wholes: Map<number, string>,
  store: LedgerStore,
  clusterId: string,
): Promise<void> {
  const origins = new Map<number, Place>();
  for (const { record } of batch) {
    const origin = placeOf(record.headers[REPLAY_OF]);
    if (origin !== null && !wholes.has(record.offset))
      origins.set(record.offset, origin);
  }
  if (origins.size === 0) return;
  const nameOf = ({ topic, partition, offset }: Place): string =>
    `${topic}/${partition}/${offset}`;
  const letters = await store.lettersAt([...origins.values()], clusterId);
  const reasons = new Map(letters.map((one) => [nameOf(one), one.reason]));
  for (const { record, outcome } of batch) {
    const origin = origins.get(record.offset);
    const reason =
      origin === undefined ? undefined : reasons.get(nameOf(origin));
    if (isDeadLetter(outcome) && reason !== undefined)
      wholes.set(record.offset, reason);
  }
}

/** `iot-data/3/1234`; null for anything else. */
function placeOf(text: string | undefined): Place | null {
  const parts = /^([A-Za-z0-9._-]+)\/(\d{1,9})\/(\d{1,15})$/.exec(text ?? "");
  if (parts === null) return null;
  return {
    topic: parts[1]!,
    partition: Number(parts[2]),
    offset: Number(parts[3]),
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
