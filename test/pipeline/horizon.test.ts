import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { createHorizon, createReach } from "../../src/pipeline/horizon.js";
import type { TelemetryEvent } from "../../src/ports.js";
import { createMemoryLog } from "../support/memory-log.js";

const test = suite("until when everything is known");
const DAY_MS = 86_400_000;

function ground() {
  let nowMs = 1_000_000_000_000;
  const events: TelemetryEvent[] = [];
  const log = createMemoryLog({ partitions: 2, now: () => nowMs });
  const horizon = createHorizon(
    log.inspector,
    { emit: (event) => events.push(event) },
    () => nowMs,
    new AbortController().signal,
  );
  const heard = () =>
    events.flatMap((event) =>
      event.type === "bridge_heard" ? [[event.bridge, event.alive]] : [],
    );
  return {
    log,
    horizon,
    events,
    heard,
    now: () => nowMs,
    pass: (ms: number) => (nowMs += ms),
    beat: (bridge: string, untilMs: number) =>
      log.writer.append(TOPIC.beats, [
        {
          key: bridge,
          partition: 0,
          value: Buffer.from(
            JSON.stringify({ bridge_id: bridge, until: untilMs }),
          ),
        },
      ]),
    data: () =>
      log.writer.append(TOPIC.data, [
        { key: "d", partition: 1, value: Buffer.from("{}") },
      ]),
  };
}

test("without any bridge the clock counts, up to where the log ended", async () => {
  const { horizon, data, now } = ground();
  assert.is(horizon.latest, null);
  await data();
  await horizon.look();
  assert.equal(horizon.latest, { untilUs: now() * 1000, ends: [0, 1] });
  assert.is(horizon.bridgesMs, null);
});

test("the bridge that is furthest behind counts, told once when it goes and when it comes back", async () => {
  const { horizon, beat, now, pass, heard } = ground();
  const began = now();
  await beat("a", began);
  await beat("b", began - 500);
  await horizon.look();
  assert.is(horizon.latest?.untilUs, (began - 500) * 1000);
  for (let i = 0; i < 3; i++) {
    pass(60_000);
    await beat("a", now());
    await horizon.look();
  }
  assert.is(horizon.latest?.untilUs, (began - 500) * 1000);
  assert.equal(heard(), [["b", false]]);
  await beat("b", now());
  await horizon.look();
  assert.is(horizon.latest?.untilUs, now() * 1000);
  assert.equal(heard().at(-1), ["b", true]);
});

test("a bridge that is gone for a day is forgotten while another lives, the last one never", async () => {
  const { horizon, beat, now, pass } = ground();
  const began = now();
  await beat("old", began);
  await beat("new", began);
  pass(DAY_MS + 1);
  await horizon.look();
  assert.is(horizon.bridgesMs, began, "nobody lives");
  await beat("new", now());
  await horizon.look();
  assert.is(horizon.bridgesMs, now());
  pass(10 * DAY_MS);
  await horizon.look();
  assert.is(horizon.bridgesMs, now() - 10 * DAY_MS);
});

test("what is no beat is passed over, and an older beat takes nothing back", async () => {
  const { horizon, beat, log, now } = ground();
  await beat("a", now());
  for (const text of ["", "no json", "{}", '{"bridge_id":"x"}', "null"])
    await log.writer.append(TOPIC.beats, [
      { key: "x", partition: 0, value: Buffer.from(text) },
    ]);
  await beat("a", now() - 9000);
  await horizon.look();
  assert.is(horizon.bridgesMs, now());
});

test("a lane reaches what a look saw once it has stored up to that end, however far the log has gone on", () => {
  let latest = { untilUs: 10, ends: [5] };
  const reach = createReach(() => latest, 0);
  assert.is(reach(4), 0);
  latest = { untilUs: 20, ends: [9] };
  assert.is(reach(4), 0);
  assert.is(reach(5), 10, "the look that it had waited for");
  assert.is(reach(8), 10);
  assert.is(reach(9), 20);
  latest = { untilUs: 30, ends: [9] };
  assert.is(reach(9), 30);
  assert.is(createReach(() => null, 0)(9), 0);
});

test.run();
