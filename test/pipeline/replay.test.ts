import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deviceReducer, newDevice } from "../../src/domain/decide.js";
import type { DeviceState } from "../../src/domain/device.js";
import type { DataMessage } from "../../src/domain/message.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import { createMemoryStore } from "../support/memory-store.js";
import { NOW_MS, reading } from "../support/messages.js";
import { createMemoryDeviceView } from "../support/memory-view.js";

const test = suite("replays");
const HISTORY_S = 18_000;
const reduce = deviceReducer({
  historyUs: HISTORY_S * 1e6,
  tenantPrefix: "traksense",
});

const messageLists = fc
  .array(
    fc.record({
      backS: fc.integer({ min: -5, max: 6 * 3600 }),
      packet: fc.option(fc.integer({ min: 0, max: 4 })),
      redelivered: fc.boolean(),
    }),
    { minLength: 1, maxLength: 25 },
  )
  .map((all) =>
    all.map(({ backS, packet, redelivered }, offset): DataMessage => {
      const timeUs = NOW_MS * 1000 - backS * 1e6;
      return reading(offset, {
        timeUs,
        redelivered,
        untimedId: packet === null ? null : `b:${packet}:x`,
      });
    }),
  );

/** Applies [from, to) from the state that an actor would wake with there, and writes what it does to both stores. */
function createGround(messages: readonly DataMessage[]) {
  const redis = createMemoryDeviceView({
    historySeconds: HISTORY_S,
    clock: () => NOW_MS,
  });
  const store = createMemoryStore();
  const stateAt = (offset: number): DeviceState =>
    reduce(newDevice(messages[0]!), messages.slice(0, offset), NOW_MS).state;
  const claimed = store.claim(LANE_TOPICS, 0, "me");
  return {
    async apply(from: number, to: number) {
      const { effects } = reduce(
        stateAt(from),
        messages.slice(from, to),
        NOW_MS,
      );
      await redis.view.write({
        changes: [effects.view],
        publish: false,
        mark: null,
      });
      const { device } = effects.store;
      const sensors = effects.store.rows.map(({ sensor }) => sensor);
      await store.register(0, [device], sensors);
      const result = await store.flush(
        {
          partition: 0,
          owner: "me",
          clusterId: "log-1",
          fence: (await claimed).map(({ topic, epoch, nextOffset }) => ({
            topic,
            epoch,
            from: nextOffset,
            to: nextOffset,
            lastRecordMs: null,
          })),
          changes: [effects.store],
          deadLetters: [],
          replays: [],
          commandChanges: [],
          toJudge: [],
          presence: [],
          introduced: new Set(),
          expectDuplicates: false,
        },
        async () => undefined,
      );
      assert.is(result.fence, "moved");
    },
    content: () => ({
      last: redis.last.get("dev-1"),
      history: [...redis.history("dev-1").keys()].toSorted(),
      rows: store
        .rows()
        .map((row) => `${row.name} ${row.timeUs} ${row.value}`)
        .toSorted(),
    }),
  };
}

test("pieces of the log applied again, in whatever order, leave the same view and the same rows", () =>
  fc.assert(
    fc.asyncProperty(
      messageLists,
      fc.array(fc.tuple(fc.nat(25), fc.nat(25)), { maxLength: 8 }),
      async (messages, pieces) => {
        const once = createGround(messages);
        await once.apply(0, messages.length);
        const again = createGround(messages);
        let done = 0;
        for (const [start, length] of pieces) {
          // A replay begins anywhere before what was applied, and may go beyond it.
          const from = Math.min(start, done);
          const to = Math.min(messages.length, from + length);
          await again.apply(from, to);
          done = Math.max(done, to);
        }
        await again.apply(done, messages.length);
        assert.equal(again.content(), once.content());
      },
    ),
    { numRuns: 150, seed: 4 },
  ));

test.run();
