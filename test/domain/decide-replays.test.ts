/**
 * The device reducer under replays: whatever part of the log is applied again, in whatever batches, from the state that an
 * actor wakes with there, and whatever the broker delivers twice, what the stores are told comes to the same. The stores
 * themselves are held to that by their conformance suites; here they are sets and maps.
 */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deviceReducer, isLater, newDevice } from "../../src/domain/decide.js";
import type {
  DeviceState,
  Effects,
  LastState,
} from "../../src/domain/device.js";
import { placeText } from "../../src/domain/replay.js";
import type { Message } from "../../src/domain/message.js";
import { NOW_MS, reading, record } from "../support/messages.js";

const NOW_US = NOW_MS * 1000;
const reduce = deviceReducer({
  historyUs: 18_000_000_000,
  tenantPrefix: "traksense",
});

type Made = (offset: number, redelivered: boolean) => Message;

const base = (offset: number) => ({
  address: "dev-1",
  tenant: "default",
  deviceId: "dev-1",
  site: null,
  source: record(offset),
  arrivalUs: NOW_US + offset,
});

const point = fc
  .record({
    name: fc.constantFrom("a", "b"),
    value: fc.integer({ min: 0, max: 2 }),
    unit: fc.constantFrom(null, "°C"),
  })
  .map(({ name, value, unit }) => ({
    name,
    value,
    unit,
    text: null,
    type: "float",
    typeClass: "num" as const,
  }));

/** Kinds that a device sends. What it says is the same each time; its place in the log and its arrival are not. */
const said = (serial: number): fc.Arbitrary<Made> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .record({
          backS: fc.option(fc.integer({ min: -5, max: 6 * 3600 })),
          points: fc.array(point, { minLength: 1, maxLength: 3 }),
          firmware: fc.constantFrom(null, "1.0", "1.1"),
          conflict: fc.boolean(),
        })
        .map(({ backS, points, firmware, conflict }) => {
          const all = points.map((one, item) => ({ ...one, item }));
          const untimedId = backS === null ? `b:${serial}:x` : null;
          return (offset: number, redelivered: boolean): Message =>
            reading(offset, {
              ...base(offset),
              // One without a time of its own counts as of its arrival, which a redelivery has another of.
              timeUs: backS === null ? NOW_US + offset : NOW_US - backS * 1e6,
              untimedId,
              redelivered,
              firmware,
              points: all,
              conflicts: conflict ? [{ ...all[0]!, item: all.length }] : [],
              payload: JSON.stringify({ serial, points }),
            });
        }),
    },
    {
      weight: 2,
      arbitrary: fc.boolean().map((ok) => (offset: number) => ({
        ...base(offset),
        kind: "ack" as const,
        cmdId: `c${serial % 4}`,
        ok,
        execUs: NOW_US - serial,
        err: null,
        hash: `${serial}`,
      })),
    },
    {
      weight: 3,
      arbitrary: fc.constantFrom<Made>(
        (offset) => ({
          ...base(offset),
          kind: "event",
          timeUs: NOW_US - serial,
          payload: "{}",
          hash: `${serial}`,
        }),
        (offset) => ({ ...base(offset), kind: "hello" }),
        (offset) => ({
          ...base(offset),
          kind: "state",
          online: serial % 2 === 0,
        }),
      ),
    },
  );

/** A device's log, and the same with redeliveries in it: each up to three messages behind its first. */
const logs = fc
  .integer({ min: 1, max: 25 })
  .chain((count) =>
    fc.tuple(
      fc.tuple(...Array.from({ length: count }, (_, serial) => said(serial))),
      fc.array(
        fc.record({ of: fc.nat(24), later: fc.integer({ min: 1, max: 3 }) }),
        {
          maxLength: 12,
        },
      ),
    ),
  )
  .map(([makers, again]) => {
    const order = makers.map((make, at) => ({ make, at, redelivered: false }));
    for (const { of, later } of again) {
      const first = order.findIndex(
        ({ at, redelivered }) => at === of % makers.length && !redelivered,
      );
      const one = { ...order[first]!, redelivered: true };
      order.splice(Math.min(order.length, first + later), 0, one);
    }
    return order.map(({ make, redelivered }, offset) =>
      make(offset, redelivered),
    );
  });

const cuts = fc.array(fc.boolean(), { minLength: 1, maxLength: 7 });
const wakenAt = (log: readonly Message[], offset: number): DeviceState =>
  reduce(newDevice(log[0]!), log.slice(0, offset), NOW_MS).state;

const sorted = (items: Iterable<unknown>): string[] =>
  [...items].map((item) => JSON.stringify(item)).toSorted();

/** What the stores hold of one device, each by the rule of its own. */
function createStores() {
  const rows = new Map<string, number | null>();
  const history = new Set<string>();
  const published = new Set<string>();
  const acks = new Map<string, string>();
  const events = new Set<string>();
  const letters = new Set<string>();
  let last: LastState | null = null;
  let untimed: readonly string[] = [];
  let firmware: string | null = null;
  let seenUs = 0;
  return {
    take({ view, store }: Effects): void {
      for (const { sensor, timeUs, value, source, item } of store.rows) {
        const key = `${sensor.name} ${timeUs}`;
        const stands = rows.get(key);
        if (stands === undefined) rows.set(key, value);
        else if (stands !== value) letters.add(`${placeText(source)}/${item}`);
      }
      for (const { member } of view.history) history.add(member);
      for (const text of view.publish) published.add(text);
      for (const { cmdId, execUs, hash } of store.acks) {
        const mine = `${execUs} ${hash}`;
        const stands = acks.get(cmdId);
        if (stands === undefined || mine < stands) acks.set(cmdId, mine);
      }
      for (const { timeUs, hash } of store.events)
        events.add(`${timeUs} ${hash}`);
      for (const { source, item } of store.deadLetters)
        letters.add(`${placeText(source)}/${item}`);
      if (view.last !== null && isLater(view.last, last)) last = view.last;
      if (store.untimed !== null) untimed = store.untimed;
      if (store.firmware !== null) firmware = store.firmware;
      seenUs = Math.max(seenUs, store.seenUs);
    },
    content: () => ({
      rows: sorted(rows),
      history: sorted(history),
      published: sorted(published),
      acks: sorted(acks),
      events: sorted(events),
      letters: sorted(letters),
      last,
      untimed,
      firmware,
      seenUs,
    }),
  };
}

/** Applies [from, to) in batches cut where the flags say, and answers the state after it. */
function apply(
  stores: ReturnType<typeof createStores>,
  state: DeviceState,
  messages: readonly Message[],
  flags: readonly boolean[],
): DeviceState {
  let now = state;
  let batch: Message[] = [];
  const flush = (): void => {
    const { state: next, effects } = reduce(now, batch, NOW_MS);
    now = next;
    stores.take(effects);
    batch = [];
  };
  for (const [i, message] of messages.entries()) {
    if (i > 0 && flags[i % flags.length]) flush();
    batch.push(message);
  }
  flush();
  return now;
}

const times = { numRuns: 500, seed: 20_251_128, includeErrorInReport: true };
const test = suite("replays of a device's messages");

test("any number of crashes, each replaying from where the stores stood, come to the same state and effects", () =>
  fc.assert(
    fc.property(
      logs,
      fc.array(fc.record({ back: fc.nat(25), on: fc.nat(25), flags: cuts }), {
        maxLength: 6,
      }),
      cuts,
      (log, crashes, flags) => {
        const once = createStores();
        const state = apply(once, wakenAt(log, 0), log, [false]);
        const again = createStores();
        let reached = 0;
        for (const { back, on, flags: cut } of crashes) {
          const from = Math.max(0, reached - back);
          const to = Math.min(log.length, Math.max(reached, from + on));
          apply(again, wakenAt(log, from), log.slice(from, to), cut);
          reached = to;
        }
        const end = apply(
          again,
          wakenAt(log, reached),
          log.slice(reached),
          flags,
        );
        assert.equal(end, state);
        assert.equal(again.content(), once.content());
      },
    ),
    times,
  ));

test("a log that is read again from its start, after all of it, changes nothing in the stores", () =>
  fc.assert(
    fc.property(logs, cuts, (log, flags) => {
      const once = createStores();
      const state = apply(once, wakenAt(log, 0), log, [false]);
      const before = once.content();
      const end = apply(once, state, log, flags);
      assert.equal(
        { ...once.content(), untimed: [] },
        { ...before, untimed: [] },
      );
      // Known once more: the same ids stand last.
      const kept = state.untimed.length;
      assert.equal(end.untimed.slice(end.untimed.length - kept), state.untimed);
      assert.equal(end.last, state.last);
    }),
    times,
  ));

test("what the broker delivers again adds no row, no history and no event, and moves nothing back", () =>
  fc.assert(
    fc.property(logs, (log) => {
      const plain = createStores();
      const isAgain = (message: Message, at: number): boolean =>
        log
          .slice(0, at)
          .some((before) => sameSaying(before) === sameSaying(message));
      const firsts = log.filter((message, at) => !isAgain(message, at));
      apply(plain, wakenAt(log, 0), firsts, [false]);
      const doubled = createStores();
      apply(doubled, wakenAt(log, 0), log, [false]);
      // A clock that is ahead counts as of each arrival; of one instant the later in the log is the newest.
      const ahead = log.some(
        (one) => one.kind === "data" && one.timeUs > one.arrivalUs,
      );
      const of = (stores: typeof plain) => {
        const { rows, history, acks, events, last, untimed } = stores.content();
        const newestUs = (last as LastState | null)?.timeUs;
        return {
          rows,
          history,
          acks,
          events,
          untimed,
          newestUs: ahead || newestUs,
        };
      };
      assert.equal(of(doubled), of(plain));
    }),
    times,
  ));

/** The same for a message and its redelivery. */
function sameSaying(message: Message): string {
  if (message.kind === "data")
    return `${message.untimedId} ${message.timeUs * Number(message.untimedId === null)} ${message.payload}`;
  if (message.kind === "ack" || message.kind === "event")
    return message.kind + message.hash;
  return `${message.kind} ${message.source.offset}`;
}

test.run();
