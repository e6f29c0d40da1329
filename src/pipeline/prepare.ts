/** The hot stage without its writes: slice → messages → device actors → effects. */
import { setImmediate as round } from "node:timers/promises";
import { newDevice } from "../domain/decide.js";
import { isDeadLetter } from "../domain/decode.js";
import {
  type DeviceRef,
  type Effects,
  newState,
  type StoreChange,
  type ViewChange,
} from "../domain/device.js";
import type { DeadLetter, LogRecord, Message } from "../domain/message.js";
import { isReplay, type LogPlace, replayedPlace } from "../domain/replay.js";
import type {
  Clock,
  DeviceView,
  Groups,
  LaneActors,
  Observer,
  TelemetryStore,
} from "../ports.js";
import type { Slice } from "./slices.js";
import type { Turns } from "./turns.js";

/** A slice decoded, with what it does. */
export interface Prepared {
  readonly slice: Slice;
  readonly view: readonly ViewChange[];
  readonly store: readonly StoreChange[];
  /** Records that never reached an actor. */
  readonly deadLetters: readonly DeadLetter[];
  /** Where the replayed ones of its records lay first. */
  readonly replays: readonly LogPlace[];
  readonly points: number;
  /** Messages known again as redelivered. */
  readonly duplicates: number;
  /** Arrival of the oldest and newest message, microseconds; 0 when there is none. */
  readonly oldestUs: number;
  readonly newestUs: number;
  /** Log time of the last record, milliseconds. */
  readonly lastRecordMs: number;
  /** Where the flush goes on with its trace; undefined when nothing of it is traced. */
  readonly traceparent?: string;
}

export type Decode = (record: LogRecord) => Message | DeadLetter;

export interface PrepareDeps {
  readonly decode: (topic: string) => Decode;
  readonly actors: LaneActors;
  readonly store: Pick<TelemetryStore, "wake" | "newest">;
  readonly view: Pick<DeviceView, "missingLast" | "write">;
  readonly observer: Observer;
  readonly clock: Clock;
  /** Told the devices of the slice before any actor is woken or sent a message: none of them may be let go. */
  readonly touch: (addresses: Iterable<string>) => void;
  readonly turns: Turns;
}

/** Messages at a stretch; after each the event loop goes round, so that nobody waits for a whole slice. */
const STRETCH = 500;

export interface Grouped {
  readonly groups: Map<string, Message[]>;
  readonly deadLetters: DeadLetter[];
}

/** Messages by device, in log order, and what could not be decoded; those of earlier records come before. */
export function group(
  records: readonly LogRecord[],
  decode: Decode,
  before: Grouped = { groups: new Map(), deadLetters: [] },
): Grouped {
  const { groups, deadLetters } = before;
  for (const record of records) {
    const decoded = decode(record);
    if (isDeadLetter(decoded)) {
      deadLetters.push(decoded);
      continue;
    }
    const group = groups.get(decoded.address);
    if (group === undefined) groups.set(decoded.address, [decoded]);
    else group.push(decoded);
  }
  return before;
}

async function groupAll(
  records: readonly LogRecord[],
  decode: Decode,
): Promise<Grouped> {
  const found = group(records.slice(0, STRETCH), decode);
  for (let i = STRETCH; i < records.length; i += STRETCH) {
    await round();
    group(records.slice(i, i + STRETCH), decode, found);
  }
  return found;
}

async function applyAll(
  groups: Groups,
  actors: LaneActors,
  nowMs: number,
): Promise<Effects[]> {
  const effects: Effects[] = [];
  let some = new Map<string, readonly Message[]>();
  let messages = 0;
  for (const [address, own] of groups) {
    some.set(address, own);
    messages += own.length;
    if (messages < STRETCH) continue;
    effects.push(...(await actors.apply(some, nowMs)));
    await round();
    some = new Map();
    messages = 0;
  }
  effects.push(...(await actors.apply(some, nowMs)));
  return effects;
}

/**
 * Decodes a slice and has the actors apply it. Repeating it after a failed wake is harmless; after the actors have applied
 * it, it is not: only waking is retried, by `patiently`.
 */
export async function prepare(
  slice: Slice,
  deps: PrepareDeps,
  patiently: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<Prepared> {
  const { turns, actors, clock } = deps;
  const { groups, deadLetters } = await turns(slice.bytes, () =>
    groupAll(slice.records, deps.decode(slice.topic)),
  );
  deps.touch(groups.keys());
  await patiently(() => wake(groups, deps));
  const effects = await turns(slice.bytes, () =>
    applyAll(groups, actors, clock()),
  );
  count(effects, deps.observer);
  let oldestUs = 0;
  let newestUs = 0;
  for (const messages of groups.values()) {
    const first = messages[0]!.arrivalUs;
    const last = messages[messages.length - 1]!.arrivalUs;
    if (last > newestUs) newestUs = last;
    // A replay arrived long ago: that is no latency of ours.
    if (isReplay(messages[0]!.source)) continue;
    if (oldestUs === 0 || first < oldestUs) oldestUs = first;
  }
  return {
    slice,
    view: effects.map((effect) => effect.view),
    store: effects.map((effect) => effect.store),
    deadLetters,
    replays: replaysIn(slice.records),
    points: effects.reduce((sum, { outcome }) => sum + outcome.points, 0),
    duplicates: effects.reduce(
      (sum, { outcome }) => sum + outcome.duplicates,
      0,
    ),
    oldestUs,
    newestUs,
    lastRecordMs: slice.records[slice.records.length - 1]!.timestampMs,
  };
}

function replaysIn(records: readonly LogRecord[]): LogPlace[] {
  const places: LogPlace[] = [];
  for (const record of records) {
    const place = replayedPlace(record);
    if (place !== null) places.push(place);
  }
  return places;
}

/** Spawns an actor for each device that has none, with what the database and Redis remember, in one round trip each. */
async function wake(
  groups: ReadonlyMap<string, readonly Message[]>,
  { actors, store, view }: PrepareDeps,
): Promise<void> {
  const asleep: DeviceRef[] = [];
  for (const [address, messages] of groups)
    if (!actors.has(address)) asleep.push(newDevice(messages[0]!).device);
  if (asleep.length === 0) return;
  const stored = await store.wake(asleep);
  await restoreLast(
    asleep.filter((device) => stored.has(device.address)),
    store,
    view,
  );
  for (const device of asleep)
    actors.spawn(stored.get(device.address)?.state ?? newState(device));
}

/** Devices that the database knows and Redis has lost get their last state back from their newest rows. */
async function restoreLast(
  known: readonly DeviceRef[],
  store: PrepareDeps["store"],
  view: PrepareDeps["view"],
): Promise<void> {
  if (known.length === 0) return;
  const missing = await view.missingLast(known);
  if (missing.length === 0) return;
  const newest = await store.newest(missing);
  const changes: ViewChange[] = [];
  for (const device of missing) {
    const last = newest.get(device.address);
    if (last !== undefined)
      changes.push({
        device,
        history: [],
        publish: [],
        last,
        seenUs: 0,
        gone: null,
      });
  }
  if (changes.length > 0)
    await view.write({ changes, publish: false, mark: null });
}

function count(effects: readonly Effects[], observer: Observer): void {
  const total = joinOutcomes(effects);
  observer.emit({
    type: "messages_decoded",
    telem: total.data,
    ack: total.ack,
    event: total.event,
    hello: total.hello,
  });
}

function joinOutcomes(effects: readonly Effects[]) {
  const total = { data: 0, ack: 0, event: 0, hello: 0 };
  for (const { outcome } of effects) {
    total.data += outcome.data;
    total.ack += outcome.ack;
    total.event += outcome.event;
    total.hello += outcome.hello;
  }
  return total;
}
