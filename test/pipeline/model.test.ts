/**
 * Whatever happens, in whatever order: random histories of traffic, outages, rebalances and deaths against the in-memory
 * doubles, and at the end the promises: each reading one row, the view what a device's own reducer says, each unreadable
 * record a dead letter, the group told nothing that is not stored. fast-check prints seed and path of what fails.
 */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deviceReducer, newDevice } from "../../src/domain/decide.js";
import { isDeadLetter } from "../../src/domain/decode.js";
import type { DeviceState, Effects } from "../../src/domain/device.js";
import { TOPIC } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import {
  GROUP,
  type Rig,
  type Running,
  withRig,
} from "../support/pipeline-rig.js";

const SEED = 20_251_007;
const RUNS = 60;
const PARTITIONS = 2;
const DEVICES = ["dev-a", "dev-b", "dev-c", "dev-d"];
const HISTORY_US = 5 * 3_600_000_000;
const reduce = deviceReducer({
  historyUs: HISTORY_US,
  tenantPrefix: "traksense",
});

const test = suite("any history of faults");

const device = fc.constantFrom(...DEVICES);
const times = fc.integer({ min: 1, max: 4 });
const when = fc.constantFrom("before" as const, "after" as const);
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("timed" as const),
      device,
      back: fc.integer({ min: 0, max: 50 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("untimed" as const), device }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("redeliver" as const), device }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("hello" as const), device }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("unreadable" as const), device }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.integer({ min: 0, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("redis loses all" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("redis fails" as const),
      times,
      when,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("database fails" as const),
      times,
      when,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("commit answer lost" as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("database refuses" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("log fails" as const), times }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("rebalance" as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("another joins" as const) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("one dies" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("one stops" as const) }),
  },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

/** The players of one history. */
function createWorld(rig: Rig) {
  const running: Running[] = [];
  const lastSent = new Map<string, { payload: object; packet: number }>();
  let n = 0;

  const headers = (packet: number, dup: boolean) => ({
    "bridge-id": "b",
    "mqtt-packet-id": String(packet),
    ...(dup ? { "mqtt-dup": "1" } : {}),
  });

  async function join(): Promise<void> {
    // Tight bounds, so that actors come and go and lanes fill up.
    const settings = { batchSize: 5, liveActors: 2, queueMessages: 30 };
    running.push(await rig.start({ settings }));
  }

  async function act(one: Action): Promise<void> {
    switch (one.do) {
      case "timed": {
        const ts = new Date(rig.clock() - one.back * 1000).toISOString();
        return rig.produce(one.device, { n: n++, ts });
      }
      case "untimed": {
        const sent = { payload: { n: n++ }, packet: n };
        lastSent.set(one.device, sent);
        return rig.produce(one.device, sent.payload, {
          headers: headers(sent.packet, false),
        });
      }
      case "redeliver": {
        const sent = lastSent.get(one.device);
        if (sent === undefined) return;
        return rig.produce(one.device, sent.payload, {
          headers: headers(sent.packet, true),
        });
      }
      case "hello":
        return rig.produce(one.device, "", { kind: "hello" });
      case "unreadable":
        return rig.produce(one.device, "no JSON");
      case "wait":
        return new Promise((resolve) => setTimeout(resolve, one.ms));
      case "redis loses all":
        return rig.view.loseEverything();
      case "redis fails":
        return rig.view.failNext(one.times, one.when);
      case "database fails":
        return rig.store.failNext({ calls: one.times, when: one.when });
      case "commit answer lost":
        return rig.store.failNext({ verb: "flush", when: "after" });
      case "database refuses":
        return rig.store.failNext({
          verb: "flush",
          error: new TwinstreamError("STORE_REFUSED", "told to refuse"),
        });
      case "log fails":
        return failLetters(one.times);
      case "rebalance": {
        const other = rig.log.feed(GROUP, LANE_TOPICS);
        await other.start({
          assigned: () => undefined,
          batch: async () => false,
        });
        return other.stop();
      }
      case "another joins":
        if (running.length < 3) await join();
        return;
      case "one dies":
        await running.shift()?.kill();
        if (running.length === 0) await join();
        return;
      case "one stops":
        await running.shift()?.stop();
        if (running.length === 0) await join();
        return;
      default:
        one satisfies never;
    }
  }

  /** Fails the next dead letters, never what the test itself produces. */
  function failLetters(count: number): void {
    letterFailures += count;
  }
  let letterFailures = 0;
  const append = rig.log.writer.append;
  Object.assign(rig.log.writer, {
    append: async (...args: Parameters<typeof append>) => {
      if (args[0] === TOPIC.dataDeadLetters && letterFailures > 0) {
        letterFailures--;
        throw new TwinstreamError("LOG_UNREACHABLE", "told to fail");
      }
      return append(...args);
    },
  });

  return { join, act };
}

interface Expected {
  readonly state: DeviceState;
  readonly effects: Effects[];
  /** History members of messages that the reducer knew as redelivered. */
  readonly redelivered: string[];
}

/** What the log says, by device: the reducer over all of it, a message at a time. */
function expectedOf(rig: Rig) {
  const devices = new Map<string, Expected>();
  const unreadable: string[] = [];
  for (const record of rig.records(TOPIC.data)) {
    const message = rig.decoder.decode(record);
    if (isDeadLetter(message)) {
      unreadable.push(
        `${record.topic}/${record.partition}/${record.offset}/-1`,
      );
      continue;
    }
    const before = devices.get(message.address) ?? {
      state: newDevice(message),
      effects: [],
      redelivered: [],
    };
    const { state, effects } = reduce(before.state, [message], rig.clock());
    if (effects.outcome.duplicates > 0) {
      const shown = reduce(newDevice(message), [message], rig.clock());
      before.redelivered.push(...shown.effects.view.publish);
    }
    devices.set(message.address, {
      ...before,
      state,
      effects: [...before.effects, effects],
    });
  }
  return { devices, unreadable };
}

/** Every reading is one row, the first of its sensor and time; those that say something else are conflicts, by place. */
function checkRows(rig: Rig, devices: ReadonlyMap<string, Expected>): string[] {
  const conflicts: string[] = [];
  for (const [address, { effects }] of devices) {
    const rows = new Map<string, number | null>();
    for (const { store } of effects)
      for (const { sensor, timeUs, value, source, item } of store.rows) {
        const key = `${sensor.name} ${sensor.typeClass} ${timeUs}`;
        if (!rows.has(key)) rows.set(key, value);
        else if (rows.get(key) !== value)
          conflicts.push(
            `${source.topic}/${source.partition}/${source.offset}/${item}`,
          );
      }
    const stored = rig.store
      .rows()
      .filter((row) => row.address === address)
      .map(
        ({ name, typeClass, timeUs, value }) =>
          `${name} ${typeClass} ${timeUs}: ${value}`,
      );
    const wanted = [...rows].map(([key, value]) => `${key}: ${value}`);
    assert.equal(stored.toSorted(), wanted.toSorted());
  }
  return conflicts;
}

function viewIsRight(
  rig: Rig,
  devices: ReadonlyMap<string, Expected>,
): string | null {
  for (const [address, { effects, redelivered }] of devices) {
    const last = rig.view.last.get(address) ?? null;
    const newest = effects.findLast(({ view }) => view.last !== null)?.view;
    if (
      last?.offset !== newest?.last?.offset ||
      last?.payload !== newest?.last?.payload
    )
      return `${address}: last state is ${JSON.stringify(last)}, not ${JSON.stringify(newest)}`;
    const shown = new Set(rig.view.history(address).keys());
    const wanted = new Set(
      effects.flatMap(({ view }) => view.history.map(({ member }) => member)),
    );
    for (const member of wanted)
      if (!shown.delete(member))
        return `${address}: the history has no ${member}`;
    // A rebuild that begins between a message and its redelivery cannot know it again (see the view writer).
    for (const member of redelivered) shown.delete(member);
    for (const member of shown) return `${address}: the history has ${member}`;
  }
  return null;
}

const committedIsStored = (rig: Rig): boolean => {
  for (let p = 0; p < PARTITIONS; p++)
    for (const topic of LANE_TOPICS) {
      const told = rig.committed(topic, p) ?? 0;
      if (
        told >
        Math.max(0, rig.store.fences.get(`${topic}/${p}`)?.nextOffset ?? 0)
      )
        return false;
    }
  return true;
};

test("leaves each reading one row, the view what the log says, and every unreadable record a dead letter", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 5, maxLength: 80 }),
      (actions) =>
        withRig(
          async (rig) => {
            const world = createWorld(rig);
            await world.join();
            for (const one of actions) {
              await world.act(one);
              assert.ok(
                committedIsStored(rig),
                "told the group what is not stored",
              );
            }
            await rig.settled();
            const { devices, unreadable } = expectedOf(rig);
            let wrong: string | null = null;
            await rig
              .wait(
                "the view",
                () => (wrong = viewIsRight(rig, devices)) === null,
              )
              .catch(() =>
                assert.unreachable(wrong ?? "the view is not right"),
              );
            const conflicts = checkRows(rig, devices);
            assert.equal(
              [...rig.store.letters.keys()].toSorted(),
              [...unreadable, ...conflicts].toSorted(),
            );
            const letters = new Set(
              rig
                .records(TOPIC.dataDeadLetters)
                .map(
                  ({ headers: h }) =>
                    `${h["source-topic"]}/${h["source-partition"]}/${h["source-offset"]}/-1`,
                ),
            );
            assert.equal([...letters].toSorted(), unreadable.toSorted());
            for (const [address, { effects }] of devices) {
              const published = new Set(rig.published(address));
              for (const { view } of effects)
                for (const text of view.publish)
                  assert.ok(
                    published.has(text),
                    `${address}: never published ${text}`,
                  );
            }
            assert.ok(committedIsStored(rig));
          },
          { partitions: PARTITIONS, batchRecords: 3 },
        ),
    ),
    {
      numRuns: RUNS,
      seed: SEED,
      interruptAfterTimeLimit: 60_000,
      markInterruptAsFailure: true,
      includeErrorInReport: true,
    },
  );
});

test.run();
