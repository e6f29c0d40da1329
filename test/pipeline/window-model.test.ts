/**
 * The two windows through which messages come in, the lane's intake and the bridge's PUBACKs, against models of what was taken
 * and what is on the log: thousands of random histories. fast-check prints seed and path of what fails.
 */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import { createIntake } from "../../src/pipeline/intake.js";
import type { Slice } from "../../src/pipeline/slices.js";
import { record } from "../support/messages.js";
import { ID, withBridge } from "./bridge-ground.js";

const SEED = 20_251_128;
const times = (runs: number) => ({
  numRuns: runs,
  seed: SEED,
  includeErrorInReport: true,
});
/** Everything that is due has run. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const taking = suite("the lane's intake");

taking(
  "whatever is fetched again, early or late, is taken once, gapless and in order, within its share",
  () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            /** Where the fetch begins, beside where it should. */
            off: fc.integer({ min: -4, max: 3 }),
            count: fc.integer({ min: 1, max: 6 }),
            stored: fc.nat(5),
          }),
          { maxLength: 40 },
        ),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 5 }),
        (fetches, share, start) => {
          const pushed: Slice[] = [];
          const ended = new AbortController();
          let position = start;
          let paused = false;
          const intake = createIntake({
            feed: {
              seek: (_topic, _partition, offset) => {
                position = offset;
              },
              pause: () => {
                paused = true;
              },
              resume: () => {
                paused = false;
              },
            },
            partition: 0,
            positions: [
              { topic: TOPIC.data, start, witness: null, lost: null },
            ],
            share: () => ({ messages: share, bytes: 1e9 }),
            boundary: () => -1,
            push: (slice) => pushed.push(slice),
            refused: assert.unreachable,
            signal: ended.signal,
          });
          let stored = 0;
          const takenTo = () => pushed.at(-1)?.to ?? start;
          const store = (count: number): void => {
            const slices = pushed.slice(stored, stored + count);
            stored += slices.length;
            intake.stored(slices);
          };
          const check = (): void => {
            let at = start;
            for (const { from, to, records } of pushed) {
              assert.is(from, at);
              assert.is(records.at(-1)!.offset, to - 1);
              at = to;
            }
            const held = pushed
              .slice(stored)
              .reduce((sum, { records }) => sum + records.length, 0);
            assert.is(intake.held.messages, held);
            // A lane at its share is paused; the batch that fills it may pass it.
            assert.is(paused, held >= share);
            const largest = pushed.at(-1)?.records.length ?? 0;
            assert.ok(held < share + Math.max(1, largest));
            assert.equal(intake.positions(), [
              { topic: TOPIC.data, offset: at },
            ]);
          };
          for (const { off, count, stored: some } of fetches) {
            if (paused) {
              store(pushed.length);
              assert.not.ok(paused, "all is stored and it stays paused");
            }
            const from = Math.max(start, position + off);
            const batch = Array.from({ length: count }, (_, i) =>
              record(from + i, { key: null }),
            );
            const before = takenTo();
            const whole = intake.take(TOPIC.data, batch, 1000);
            store(some);
            if (whole) position = from + count;
            if (whole && from <= before)
              assert.is(takenTo(), Math.max(before, from + count));
            check();
          }
          ended.abort();
        },
      ),
      times(1000),
    ),
);

taking.run();

const bridge = suite("the bridge's window");

const bridgeStep = fc.record({
  do: fc.constantFrom(
    "publish",
    "publish",
    "publish",
    "accept",
    "accept",
    "refuse",
    "too large",
    "cut",
    "turn",
  ),
  device: fc.nat(2),
  pick: fc.nat(1000),
});

bridge(
  "every message is on the log or still with the broker, and the log has each device's in their order",
  () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(bridgeStep, { maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        async (steps, window) => {
          const onLog: number[] = [];
          await withBridge(
            async ({ broker, publish, waiting, acknowledged }) => {
              let sent = 0;
              const read = (call: (typeof waiting)[number]): number[] =>
                call.records.map(({ value }) => {
                  const { payload, too_large: cut } = JSON.parse(
                    String(value),
                  ) as {
                    payload?: { n: number };
                    too_large?: { head_base64: string };
                  };
                  const head = Buffer.from(cut?.head_base64 ?? "", "base64");
                  return (
                    payload ?? (JSON.parse(String(head)) as { n: number })
                  ).n;
                });
              const check = (): void => {
                const stored = new Set(onLog);
                for (const { payload } of acknowledged) {
                  const { n } = JSON.parse(String(payload)) as { n: number };
                  assert.ok(
                    stored.has(n),
                    `${n} is acknowledged and not on it`,
                  );
                }
                for (let device = 0; device < 3; device++) {
                  const firsts = [...stored].filter((n) => n % 3 === device);
                  assert.equal(
                    firsts,
                    firsts.toSorted((a, b) => a - b),
                  );
                }
              };
              const accept = (): void => {
                const call = waiting.shift();
                if (call === undefined) return;
                onLog.push(...read(call));
                call.resolve();
              };
              for (const { do: what, device, pick } of steps) {
                if (what === "publish")
                  publish(`d${device}`, `{"n":${sent++ * 3 + device}}`);
                else if (what === "accept") accept();
                else if (what === "refuse")
                  waiting
                    .shift()
                    ?.reject(new TwinstreamError("LOG_UNREACHABLE", "away"));
                else if (what === "too large") {
                  const call = waiting.shift();
                  if (call !== undefined) {
                    const index = pick % call.records.length;
                    onLog.push(...read(call).slice(0, index));
                    call.reject(
                      new TwinstreamError("TOO_LARGE", "too large", {
                        cause: { index },
                      }),
                    );
                  }
                } else if (what === "cut") broker.cut();
                else await turn();
                check();
              }
              const deadline = Date.now() + 5000;
              const isThrough = () =>
                broker.unacknowledged(ID) === 0 && new Set(onLog).size === sent;
              while (!isThrough()) {
                assert.ok(Date.now() < deadline, "it never gets through");
                accept();
                await turn();
                check();
              }
            },
            { window, lingerMs: 0 },
          );
        },
      ),
      times(500),
    ),
);

bridge.run();
