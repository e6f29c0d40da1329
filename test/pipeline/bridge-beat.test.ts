import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { createBeat, readBeat } from "../../src/pipeline/bridge-beat.js";
import type { TelemetryEvent } from "../../src/ports.js";
import { createMemoryLog } from "../support/memory-log.js";
import { until } from "../support/wait.js";

const test = suite("a bridge's beat");
const patience = { withinMs: 2000 };

function ground() {
  const log = createMemoryLog({ partitions: 1 });
  const probes: string[] = [];
  const events: TelemetryEvent[] = [];
  const state = { nowMs: 5000, connected: true, looks: 0 };
  const beat = createBeat(
    {
      source: {
        connected: () => {
          state.looks += 1;
          return state.connected;
        },
        probe: (text) => probes.push(text),
      },
      log: log.writer,
      observer: { emit: (event) => events.push(event) },
      clock: () => state.nowMs,
    },
    "bridge-1",
    2,
  );
  const told = () =>
    log.records(TOPIC.beats, 0).map(({ value }) => readBeat(value));
  return { log, probes, events, state, beat, told };
}

test("it probes at once and again, and tells the log the time that came back", async () => {
  const { probes, beat, told, events } = ground();
  beat.start();
  try {
    await until(() => probes.length > 3, { ...patience, what: "probes" });
    assert.is(probes[0], "5000");
    beat.probed(probes[0]!);
    await until(() => told().length === 1, { ...patience, what: "a beat" });
    assert.equal(told(), [{ bridgeId: "bridge-1", untilMs: 5000 }]);
    beat.probed("something else");
    assert.is(told().length, 1);
    assert.equal(events, []);
  } finally {
    beat.stop();
  }
});

test("a log that does not take it is told of, and the next beat says it again", async () => {
  const { log, beat, told, events } = ground();
  log.failAppend(1);
  beat.probed("5000");
  await until(() => events.length === 1, { ...patience, what: "the failure" });
  beat.probed("7000");
  await until(() => told().length === 1, { ...patience, what: "a beat" });
  assert.is(told()[0]?.untilMs, 7000);
});

test("a broker that gives nothing back is complained of, one that is away is not", async () => {
  const { probes, state, beat, events } = ground();
  state.connected = false;
  beat.start();
  try {
    state.nowMs += 600_000;
    const before = state.looks;
    await until(() => state.looks > before, { ...patience, what: "a look" });
    assert.equal([events, probes], [[], []]);
    state.connected = true;
    await until(() => probes.length > 0, { ...patience, what: "a probe" });
    assert.equal(events, [], "not before it had its time");
    state.nowMs += 61_000;
    await until(() => events.length > 0, { ...patience, what: "the failure" });
    assert.match(
      JSON.stringify(events[0]),
      "does not let it publish and subscribe",
    );
  } finally {
    beat.stop();
  }
});

test.run();
