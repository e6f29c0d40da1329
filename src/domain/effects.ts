/** What a batch does to a device, while it is put together and once it is whole. */
import {
  type DeviceRef,
  type DeviceState,
  type Effects,
  type Gone,
  type HistoryEntry,
  type LastState,
  newState,
  type Order,
  type Outcome,
  type Row,
  type StoreChange,
  type ViewChange,
} from "./device.js";
import type {
  AckMessage,
  CancelRequest,
  CommandRequest,
  DeadLetter,
  EventMessage,
} from "./message.js";
import type { EditableSensors, Sensors } from "./sensors.js";

/** Lists come into being with their first item: most batches leave most of them empty. */
export interface Draft {
  sensors: Sensors;
  /** Set once a sensor has come. */
  newSensors: EditableSensors | null;
  readonly device: DeviceRef;
  /** Of the newest message before the batch. */
  readonly before: Order | null;
  /** Set when the newest is of the batch. */
  last: LastState | null;
  untimed: readonly string[];
  untimedChanged: boolean;
  quarantinedUntilMs: number | null;
  firmware: string | null;
  firmwareChanged: boolean;
  /** Newest sign of life of the batch, and of all times. */
  seenUs: number;
  everSeenUs: number;
  gone: Gone | null;
  hello: number;
  noted: number;
  data: number;
  points: number;
  duplicates: number;
  history: HistoryEntry[] | null;
  publish: string[] | null;
  rows: Row[] | null;
  acks: AckMessage[] | null;
  commands: (CommandRequest | CancelRequest)[] | null;
  events: EventMessage[] | null;
  deadLetters: DeadLetter[] | null;
}

const NONE: readonly never[] = Object.freeze([]);

/** The list with these behind its last; theirs where there was none, which has no room to spare. */
export function appended<T>(list: T[] | null, items: T[]): T[] {
  if (list === null) return items;
  for (const item of items) list.push(item);
  return list;
}

export function draftOf(state: DeviceState): Draft {
  return {
    sensors: state.sensors,
    newSensors: null,
    device: state.device,
    before: state.last,
    last: null,
    untimed: state.untimed,
    untimedChanged: false,
    quarantinedUntilMs: null,
    firmware: state.firmware,
    firmwareChanged: false,
    seenUs: 0,
    everSeenUs: state.seenUs,
    gone: null,
    hello: 0,
    noted: 0,
    data: 0,
    points: 0,
    duplicates: 0,
    history: null,
    publish: null,
    rows: null,
    acks: null,
    commands: null,
    events: null,
    deadLetters: null,
  };
}

export function effectsOf(device: DeviceRef, draft: Draft): Effects {
  const view: ViewChange = {
    device,
    history: draft.history ?? NONE,
    publish: draft.publish ?? NONE,
    last: draft.last,
    seenUs: draft.seenUs,
    gone: draft.gone,
  };
  const store: StoreChange = {
    device,
    rows: draft.rows ?? NONE,
    acks: draft.acks ?? NONE,
    commands: draft.commands ?? NONE,
    events: draft.events ?? NONE,
    deadLetters: draft.deadLetters ?? NONE,
    seenUs: draft.seenUs,
    gone: draft.gone,
    untimed: draft.untimedChanged ? draft.untimed : null,
    quarantinedUntilMs: draft.quarantinedUntilMs,
    firmware: draft.firmwareChanged ? draft.firmware : null,
  };
  const outcome: Outcome = {
    data: draft.data,
    hello: draft.hello,
    ack: draft.acks?.length ?? 0,
    event: draft.events?.length ?? 0,
    noted: draft.noted + (draft.commands?.length ?? 0),
    points: draft.points,
    duplicates: draft.duplicates,
  };
  return { view, store, outcome };
}

/** Effects of one device's messages that were applied one after the other, as if they had been one batch. */
export function joinEffects(device: DeviceRef, parts: Effects[]): Effects {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const views = parts.map((part) => part.view);
  const stores = parts.map((part) => part.store);
  const sum = (of: (outcome: Outcome) => number): number =>
    parts.reduce((total, part) => total + of(part.outcome), 0);
  const latest = <T>(values: (T | null)[]): T | null =>
    values.findLast((value) => value !== null) ?? null;
  const seenUs = stores.reduce((most, s) => Math.max(most, s.seenUs), 0);
  const gone = stores.reduce<Gone | null>(
    (sofar, part) =>
      part.gone ?? (sofar !== null && part.seenUs >= sofar.atUs ? null : sofar),
    null,
  );
  return {
    view: {
      device,
      history: views.flatMap((view) => view.history),
      publish: views.flatMap((view) => view.publish),
      last: latest(views.map((view) => view.last)),
      seenUs,
      gone,
    },
    store: {
      device,
      rows: stores.flatMap((store) => store.rows),
      acks: stores.flatMap((store) => store.acks),
      commands: stores.flatMap((store) => store.commands),
      events: stores.flatMap((store) => store.events),
      deadLetters: stores.flatMap((store) => store.deadLetters),
      seenUs,
      gone,
      untimed: latest(stores.map((store) => store.untimed)),
      quarantinedUntilMs: latest(
        stores.map((store) => store.quarantinedUntilMs),
      ),
      firmware: latest(stores.map((store) => store.firmware)),
    },
    outcome: {
      data: sum((o) => o.data),
      hello: sum((o) => o.hello),
      ack: sum((o) => o.ack),
      event: sum((o) => o.event),
      noted: sum((o) => o.noted),
      points: sum((o) => o.points),
      duplicates: sum((o) => o.duplicates),
    },
  };
}

/** Effects that hold only what is given: dead letters, a quarantine. */
export function effectsWith(
  device: DeviceRef,
  only: { deadLetters?: DeadLetter[]; quarantinedUntilMs?: number },
): Effects {
  const draft = draftOf(newState(device));
  draft.deadLetters = only.deadLetters ?? null;
  draft.quarantinedUntilMs = only.quarantinedUntilMs ?? null;
  return effectsOf(device, draft);
}
