import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { Claim } from "../../src/ports.js";
import { positionOf } from "../../src/pipeline/position.js";
import { createWatchdog } from "../../src/pipeline/watchdog.js";

const test = suite("where a lane begins");
const claim = (over: Partial<Claim>): Claim => ({
  topic: "iot-data",
  nextOffset: 50,
  epoch: 3,
  clusterId: "log-1",
  lastRecordMs: 1000,
  ...over,
});
const at = (over: Partial<Claim>, low: number, high: number, committed = -1) =>
  positionOf(claim(over), { low, high }, committed, "log-1", 4);

const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof TwinstreamError) return error.code;
  }
  return "none";
};

const none = { nextOffset: -1, clusterId: null, lastRecordMs: null };

test("with nothing stored, at the earliest record", () => {
  const earliest = { topic: "iot-data", start: 7, witness: null, lost: null };
  assert.equal(at(none, 7, 90), earliest);
  assert.equal(at(none, 7, 90, 7), earliest, "where the lane began");
  assert.equal(at(none, 7, 90, 3), earliest, "and retention went on since");
});

test("with nothing stored of what the group has worked off it is refused", () => {
  assert.is(
    refusal(() => at(none, 7, 90, 8)),
    "NOTHING_STORED",
  );
  assert.is(
    at({}, 0, 90, 80).start,
    50,
    "what is stored counts, not the group",
  );
});

test("at the stored offset, with the record before it as witness", () => {
  assert.equal(at({}, 0, 90), {
    topic: "iot-data",
    start: 50,
    witness: { offset: 49, ms: 1000 },
    lost: null,
  });
});

test("a stored offset at the end of the log is a good one", () => {
  assert.is(at({}, 0, 50).start, 50);
});

test("beyond the end of the log it is refused", () => {
  assert.is(
    refusal(() => at({}, 0, 49)),
    "POSITION_BEYOND_LOG",
  );
});

test("of another cluster it is refused", () => {
  assert.is(
    refusal(() => at({ clusterId: "log-2" }, 0, 90)),
    "OTHER_CLUSTER",
  );
});

test("what is gone from the log is named, never jumped silently", () => {
  assert.equal(at({}, 60, 90), {
    topic: "iot-data",
    start: 60,
    witness: null,
    lost: { from: 50, to: 60 },
  });
});

test("when the witness itself is gone there is nothing to compare", () => {
  assert.is(at({}, 50, 90).witness, null);
});

test.run();

const dog = suite("watchdog");
const T0 = 1_700_000_000_000;
const alive = (ms: number) => ({
  running: true,
  crashed: null,
  lastFetchMs: ms,
  lastHeartbeatMs: ms,
  lastJoinMs: T0,
});
const lane = (over: object = {}) => ({
  partition: 1,
  lag: 10,
  stored: 5,
  excused: false,
  ...over,
});

dog("a lane that is behind and does not move ends the process", () => {
  const watchdog = createWatchdog(60_000);
  assert.is(watchdog.check(T0, alive(T0), [lane()]), null);
  const later = T0 + 60_001;
  assert.match(
    watchdog.check(later, alive(later), [lane()]) ?? "",
    "partition 1 is 10 records behind",
  );
});

dog("a lane that moves, is level, or waits for a store does not", () => {
  for (const over of [{ stored: 6 }, { lag: 0 }, { excused: true }]) {
    const watchdog = createWatchdog(60_000);
    watchdog.check(T0, alive(T0), [lane()]);
    const later = T0 + 60_001;
    assert.is(watchdog.check(later, alive(later), [lane(over)]), null);
  }
});

dog("a consumer without fetches, heartbeats or life ends the process", () => {
  const later = T0 + 60_001;
  const check = (feed: object): string | null => {
    const watchdog = createWatchdog(60_000);
    watchdog.check(T0, alive(T0), [lane({ lag: 0 })]);
    return watchdog.check(later, { ...alive(later), ...feed }, [
      lane({ lag: 0 }),
    ]);
  };
  assert.match(check({ lastFetchMs: T0 }) ?? "", "no fetch");
  assert.match(check({ lastHeartbeatMs: T0 }) ?? "", "no heartbeat");
  assert.match(check({ crashed: "TypeError" }) ?? "", "TypeError");
  assert.is(check({}), null);
});

dog("with every lane excused the fetch does not matter", () => {
  const watchdog = createWatchdog(60_000);
  watchdog.check(T0, alive(T0), [lane({ excused: true })]);
  const later = T0 + 60_001;
  const feed = { ...alive(later), lastFetchMs: T0 };
  assert.is(watchdog.check(later, feed, [lane({ excused: true })]), null);
});

dog.run();
