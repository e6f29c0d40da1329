/**
 * The worker's offset window against a model that knows what is done: thousands of random completions, give-ups, rebalances
 * and stops. fast-check prints seed and path of what fails.
 */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { createUploadOffsets } from "../../src/pipeline/upload-offsets.js";
import { createWorker } from "../../src/pipeline/worker.js";
import { createMemoryLog } from "../support/memory-log.js";
import { listening, NOW_MS } from "../support/messages.js";

const SEED = 20_251_128;
const times = (runs: number) => ({
  numRuns: runs,
  seed: SEED,
  includeErrorInReport: true,
});
/** Everything that is due has run. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const uploads = suite("the worker's offset window");

const windowStep = fc.record({
  do: fc.constantFrom("begin", "done", "give up", "fetch again"),
  pick: fc.nat(1000),
});

uploads("never tells an offset before which one is not done", () =>
  fc.assert(
    fc.property(
      fc.array(windowStep, { maxLength: 60 }),
      fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 60 }),
      (steps, gaps) => {
        const window = createUploadOffsets();
        /** Offsets of records; those between were markers. */
        const log = gaps.map((_, i) =>
          gaps.slice(0, i + 1).reduce((sum, gap) => sum + gap, 0),
        );
        const standing = new Map<number, "in work" | "given up" | "done">();
        let fetched = 0;
        for (const { do: what, pick } of steps) {
          const working = [...standing.keys()].filter(
            (offset) => standing.get(offset) === "in work",
          );
          const chosen = working[pick % Math.max(1, working.length)];
          if (what === "begin" && fetched < log.length) {
            const offset = log[fetched++]!;
            assert.ok(window.begin(offset));
            standing.set(offset, "in work");
          } else if (what === "done" && chosen !== undefined) {
            window.done(chosen);
            standing.set(chosen, "done");
          } else if (what === "give up" && chosen !== undefined) {
            window.abandon(chosen);
            standing.set(chosen, "given up");
          } else if (what === "fetch again")
            for (const offset of log.slice(0, fetched)) {
              const again = standing.get(offset) === "given up";
              assert.is(window.begin(offset), again);
              if (again) standing.set(offset, "in work");
            }
          const open = log.findIndex(
            (offset) => standing.get(offset) !== "done",
          );
          const last = log[open - 1];
          assert.is(window.next, last === undefined ? null : last + 1);
        }
      },
    ),
    times(3000),
  ),
);

const workerStep = fc.record({
  do: fc.constantFrom("append", "append", "end", "end", "rebalance", "pause"),
  pick: fc.nat(1000),
});

uploads(
  "tells the group of no claim that was not ended, through rebalances and to the end of a clean stop",
  () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(workerStep, { maxLength: 40 }),
        fc.array(fc.nat(1000), { minLength: 1, maxLength: 40 }),
        async (steps, lastEnds) => {
          const log = createMemoryLog({ partitions: 1, batchRecords: 3 });
          const done = new Set<number>();
          const open: { offsets: number[]; end: () => void }[] = [];
          const told = () => log.committed("g", TOPIC.uploads, 0) ?? 0;
          const toldIsDone = () => {
            for (let offset = 0; offset < told(); offset++)
              assert.ok(done.has(offset), `${offset} is told and not done`);
          };
          const worker = createWorker({
            feed: log.feed("g", [TOPIC.uploads]),
            // Its claims end as and when the test says.
            claims: {
              moves: 0,
              // Every third one is large: it leaves off when its partition goes, the others end.
              handle: (records, _, signal) =>
                new Promise((resolve, reject) => {
                  const offsets = records.map(({ offset }) => offset);
                  const large = offsets.some((offset) => offset % 3 === 0);
                  const leave = () => reject(new Error("left off"));
                  if (large) signal.addEventListener("abort", leave);
                  const end = (): void => {
                    if (!(large && signal.aborted))
                      for (const offset of offsets) done.add(offset);
                    resolve();
                  };
                  open.push({ offsets, end });
                }),
            },
            observer: listening(),
            clock: () => NOW_MS,
            watchdogMs: 60_000,
            tickMs: 60_000,
            giveUp: assert.unreachable,
          });
          await worker.start();
          const endOne = (pick: number) =>
            open.splice(pick % Math.max(1, open.length), 1)[0]?.end();
          for (const { do: what, pick } of steps) {
            if (what === "append")
              await log.writer.append(TOPIC.uploads, [
                { key: null, value: Buffer.from("{}") },
              ]);
            else if (what === "end") endOne(pick);
            else if (what === "rebalance") {
              const other = log.feed("g", [TOPIC.uploads]);
              await other.start({
                assigned: () => undefined,
                batch: async () => false,
              });
              await other.stop();
            } else await turn();
            toldIsDone();
          }
          const stopped = worker.stop(2000);
          for (const pick of lastEnds) endOne(pick);
          while (open.length > 0) endOne(0);
          await stopped;
          toldIsDone();
        },
      ),
      times(1500),
    ),
);

uploads.run();
