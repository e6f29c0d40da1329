import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  completenessOf,
  finestLevel,
  rhythmOf,
} from "../../src/gateway/analytics/resolution.js";

const MINUTE_US = 60_000_000;
const HOUR_US = 60 * MINUTE_US;
const DAY_US = 24 * HOUR_US;

/** Newest first, from gaps. */
const times = (gaps: readonly number[]): number[] => {
  const list = [1000 * DAY_US];
  for (const gap of gaps) list.push(list.at(-1)! - gap);
  return list;
};

const rhythm = suite("rhythm of a sensor");

rhythm("is the median gap: breaks, bursts and jitter change nothing", () => {
  const regular = Array.from(
    { length: 20 },
    (_, i) => MINUTE_US + (i % 5) * 1_000_000,
  );
  const disturbed = [...regular, 3 * DAY_US, 1, 1, 5 * HOUR_US];
  for (const gaps of [regular, disturbed]) {
    const { intervalUs } = rhythmOf(times(gaps));
    assert.ok(
      intervalUs !== null && Math.abs(intervalUs - MINUTE_US) <= 4_000_000,
      String(intervalUs),
    );
  }
});

rhythm(
  "is unknown of a few readings, and no interval of irregular ones",
  () => {
    assert.equal(rhythmOf(times([1, 1, 1])), { gapUs: null, intervalUs: null });
    assert.equal(rhythmOf([]), { gapUs: null, intervalUs: null });
    const irregular = rhythmOf(
      times([1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8]),
    );
    assert.is(irregular.intervalUs, null);
    assert.is(irregular.gapUs, 1e4);
  },
);

const level = suite("finest level");

level("gives at most 2,000 rows a sensor, of the one that speaks most", () => {
  const minutely = { gapUs: MINUTE_US, intervalUs: MINUTE_US };
  const hourly = { gapUs: HOUR_US, intervalUs: HOUR_US };
  const quiet = { gapUs: null, intervalUs: null };
  const to = 20_000 * DAY_US;
  const of = (spanUs: number, ...rhythms: (typeof quiet | typeof hourly)[]) =>
    finestLevel(to - spanUs, to, rhythms, -Infinity);
  assert.is(of(2000 * MINUTE_US, minutely), "raw");
  assert.is(of(2001 * MINUTE_US, minutely, hourly), "hour");
  assert.is(of(2000 * HOUR_US, hourly, quiet), "raw");
  assert.is(of(2000 * HOUR_US, minutely), "hour");
  assert.is(of(2001 * HOUR_US, minutely), "day");
  assert.is(of(9999 * DAY_US, minutely), "day");
  assert.is(of(9999 * DAY_US), "raw");
});

level("is not raw where raw rows are no longer kept", () => {
  const to = 20_000 * DAY_US;
  assert.is(finestLevel(to - DAY_US, to, [], to - HOUR_US), "hour");
});

const complete = suite("completeness");

complete("is the part of what the interval lets expect, until now", () => {
  const of = (count: number, agoUs: number) =>
    completenessOf({ timeUs: 0, count }, "hour", MINUTE_US, agoUs);
  assert.is(of(60, DAY_US), 1);
  assert.is(of(30, DAY_US), 0.5);
  assert.is(of(61, DAY_US), 1, "never more than whole");
  assert.is(of(10, 20 * MINUTE_US), 0.5, "an hour that is not over");
  assert.is(of(1, 1), 1, "an hour that has just begun");
  assert.is(completenessOf({ timeUs: 0, count: 9 }, "day", null, DAY_US), null);
});

rhythm.run();
level.run();
complete.run();
