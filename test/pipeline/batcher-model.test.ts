/**
 * The lane's batcher against a model of what is stored: thousands of random histories of flushes that fail, are refused, take
 * effect without an answer, or lose their fence. fast-check prints seed and path of what fails.
 */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deviceReducer, newDevice } from "../../src/domain/decide.js";
import { TOPIC } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import { createFlusher, type Stored } from "../../src/pipeline/flusher.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import type { Patiently } from "../../src/pipeline/patience.js";
import { createMemoryStore } from "../support/memory-store.js";
import { listening, NOW_MS, reading } from "../support/messages.js";

const SEED = 20_251_128;
const times = (runs: number) => ({
  numRuns: runs,
  seed: SEED,
  includeErrorInReport: true,
});
/** Everything that is due has run. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const batcher = suite("the lane's batcher");
const reduce = deviceReducer({
  historyUs: 18_000_000_000,
  tenantPrefix: "traksense",
});

/** Repeats at once what may pass. */
const patiently: Patiently = async (work) => {
  for (;;)
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof TwinstreamError && error.canRetry)) throw error;
    }
};

const laneStep = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("gather" as const),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("answer" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("fails" as const),
      verb: fc.constantFrom("flush" as const, "register" as const),
      when: fc.constantFrom("before" as const, "after" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("refuses" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("comes back" as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("another's" as const) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rewound" as const) }) },
);

batcher(
  "stores each offset's rows with it, and tells the group of none that is not stored",
  () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(laneStep, { maxLength: 50 }),
        fc.scheduler(),
        async (steps, scheduler) => {
          const store = createMemoryStore();
          const answered = (): Promise<void> =>
            scheduler.schedule(Promise.resolve());
          const slow = {
            ...store,
            flush: async (...batch: Parameters<typeof store.flush>) => {
              await answered();
              const result = await store.flush(...batch);
              await answered();
              return result;
            },
          };
          const fenceAt = () =>
            Math.max(0, store.fences.get(`${TOPIC.data}/0`)?.nextOffset ?? 0);
          let told = 0;
          let rewound = false;
          const check = (): void => {
            assert.ok(told <= fenceAt() || rewound, `${told} is told`);
            const rows = new Set(store.rows().map(({ value }) => value));
            for (let offset = 0; offset < fenceAt(); offset++)
              assert.ok(rows.has(offset), `${offset} has no row`);
            if (!rewound) assert.is(rows.size, fenceAt());
            assert.is(store.rows().length, rows.size);
          };

          /** A lane's session: from a claim until it is lost. */
          async function open() {
            const claims = await store.claim(LANE_TOPICS, 0, "me");
            const stored: Stored[] = claims.map((claim) => ({
              topic: claim.topic,
              epoch: claim.epoch,
              offset: claim.nextOffset,
              lastRecordMs: null,
            }));
            let state = newDevice(reading(0));
            let next = Math.max(0, stored[1]!.offset);
            let lost = false;
            const flusher = createFlusher({
              partition: 0,
              owner: "me",
              clusterId: "log-1",
              store: slow,
              deadLetters: { append: async () => undefined },
              observer: listening(),
              clock: () => NOW_MS,
              patiently,
              stored,
              batchSize: 3,
              batchMs: 60_000,
              presence: () => [],
              flushed: () => {
                told = Math.max(told, stored[1]!.offset);
                check();
              },
              lost: () => {
                lost = true;
                flusher.end();
              },
            });
            return {
              flusher,
              stored,
              isLost: () => lost,
              gather(count: number) {
                const messages = Array.from({ length: count }, (_, i) =>
                  reading(next + i, { timeUs: NOW_MS * 1000 + next + i }),
                );
                const applied = reduce(state, messages, NOW_MS);
                state = applied.state;
                const from = next;
                next += count;
                flusher.gather({
                  slice: {
                    topic: TOPIC.data,
                    records: messages.map(({ source }) => source),
                    from,
                    to: next,
                    bytes: 1,
                  },
                  view: [],
                  store: [applied.effects.store],
                  deadLetters: [],
                  replays: [],
                  points: 0,
                  duplicates: 0,
                  oldestUs: 0,
                  newestUs: 0,
                  lastRecordMs: NOW_MS,
                });
              },
            };
          }

          let session = await open();
          const settle = async (work: Promise<unknown>): Promise<void> => {
            let through = false;
            void work.finally(() => (through = true));
            while (!through) {
              if (scheduler.count() > 0) await scheduler.waitOne();
              else await turn();
            }
          };
          for (const step of steps) {
            if (session.isLost()) session = await open();
            if (step.do === "gather") session.gather(step.count);
            else if (step.do === "answer") {
              if (scheduler.count() > 0) await scheduler.waitOne();
            } else if (step.do === "fails")
              store.failNext({ verb: step.verb, when: step.when });
            else if (step.do === "refuses")
              store.failNext({
                verb: "flush",
                error: new TwinstreamError("STORE_REFUSED", "told to refuse"),
              });
            else if (step.do === "another's") {
              await store.claim(LANE_TOPICS, 0, "another");
            } else if (step.do === "rewound") {
              const fence = store.fences.get(`${TOPIC.data}/0`)!;
              fence.nextOffset = Math.floor(fenceAt() / 2);
              fence.epoch++;
              rewound = true;
            } else {
              // As a lane does whose partition is dealt to it again.
              const held = session.flusher.hold();
              await settle(held);
              if (session.isLost()) continue;
              const claims = await store.claim(LANE_TOPICS, 0, "me");
              const asLeft = claims.every(
                ({ epoch, nextOffset }, i) =>
                  epoch - 1 === session.stored[i]!.epoch &&
                  nextOffset === session.stored[i]!.offset,
              );
              if (asLeft)
                for (const [i, { epoch }] of claims.entries())
                  session.stored[i]!.epoch = epoch;
              else {
                session.flusher.end();
                session = await open();
                continue;
              }
              session.flusher.resume();
            }
            check();
          }
          if (session.isLost()) session = await open();
          session.gather(1);
          await settle(session.flusher.drain());
          check();
          session.flusher.end();
          if (scheduler.count() > 0) await scheduler.waitAll();
          check();
        },
      ),
      times(1500),
    ),
);

batcher.run();
