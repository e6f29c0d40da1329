/** The look at how the stores stand, with doubles. */
import { Readable } from "node:stream";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { createStandingWatch } from "../../src/pipeline/standing-watch.js";
import type { StoreStanding, TelemetryEvent } from "../../src/ports.js";
import { createMemoryObjects } from "../support/memory-objects.js";

const test = suite("standing watch");
const MINUTE_MS = 60_000;
const NOTHING: StoreStanding = {
  databaseBytes: 1,
  chunks: [],
  oldestChunkSeconds: null,
  retentionSeconds: 0,
  aggregates: [],
  policiesFailing: 0,
  lateBuckets: 0,
  claims: [],
  commands: [],
  commandsOverdue: 0,
  devicesKnown: 0,
  devicesQuarantined: 0,
};

function rig() {
  const time = { nowMs: 1_000_000_000 };
  const objects = createMemoryObjects(() => time.nowMs);
  const events: TelemetryEvent[] = [];
  const store = { away: false };
  const watch = createStandingWatch({
    store: {
      read: async () => {
        if (store.away) throw new TwinstreamError("STORE_UNREACHABLE");
        return NOTHING;
      },
      close: async () => undefined,
    },
    objects,
    observer: { emit: (event) => void events.push(event) },
    clock: () => time.nowMs,
  });
  const seen = (type: TelemetryEvent["type"]) =>
    events.filter((event) => event.type === type);
  return { time, objects, store, watch, seen };
}

const key = (n: number): string =>
  `telemetry/2026-01-02-03-04-05/00000000-0000-4000-8000-00000000000${n}.json.gz`;

test("objects are counted with their bytes, at most every ten minutes", async () => {
  const { time, objects, watch, seen } = rig();
  for (const n of [1, 2])
    await objects.put(key(n), Readable.from([Buffer.alloc(10)]), {});
  await watch.look();
  await watch.look();
  assert.equal(seen("objects_standing"), [
    {
      type: "objects_standing",
      standing: { count: 2, bytes: 20, freeBytes: null },
    },
  ]);
  assert.is(seen("store_standing").length, 2);
  time.nowMs += 10 * MINUTE_MS;
  await watch.look();
  assert.is(seen("objects_standing").length, 2);
});

test("a database that is away is told, and the objects are counted all the same", async () => {
  const { store, watch, seen } = rig();
  store.away = true;
  await watch.look();
  assert.is(seen("failure").length, 1);
  assert.is(seen("store_standing").length, 0);
  assert.is(seen("objects_standing").length, 1);
});

test.run();
