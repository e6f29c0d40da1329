import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Reading } from "../../src/gateway/dashboard/answers.js";
import {
  append,
  bandsOf,
  joined,
  nearest,
  thinned,
  trackOf,
  trim,
} from "../../src/gateway/dashboard/series.js";

const test = suite("page: series");

/** 10:00:00 and so many seconds. */
const AT_S = Date.parse("2026-01-15T10:00:00Z") / 1000;
const iso = (s: number): string => new Date((AT_S + s) * 1000).toISOString();
const readings = (
  values: readonly (readonly [number, Reading["value"]])[],
): Reading[] => values.map(([s, value]) => ({ ts: iso(s), value }));
const since = (times: readonly number[]): number[] =>
  times.map((time) => Math.round((time - AT_S) * 10) / 10);

test("few readings stand for themselves", () => {
  const track = trackOf(
    readings([
      [0, 1],
      [10, 2],
      [20, 3],
    ]),
  );
  const lines = thinned(track, AT_S, AT_S + 30, 100);
  assert.equal(since(lines.times), [0, 10, 20]);
  assert.equal(lines.middle, [1, 2, 3]);
});

test("many become columns with their mean, least and greatest", () => {
  const track = trackOf(
    readings(Array.from({ length: 1000 }, (_, i) => [i, i % 2 === 0 ? 0 : 10])),
  );
  const lines = thinned(track, AT_S, AT_S + 1000, 10);
  assert.is(lines.times.length, 10);
  assert.equal(new Set(lines.middle), new Set([5]));
  assert.equal(new Set(lines.least), new Set([0]));
  assert.equal(new Set(lines.greatest), new Set([10]));
});

test("a spike of one reading is seen however many there are", () => {
  const track = trackOf(
    readings(
      Array.from({ length: 18_000 }, (_, i) => [i, i === 9000 ? 99 : 1]),
    ),
  );
  const lines = thinned(track, AT_S, AT_S + 18_000, 200);
  assert.is(Math.max(...lines.greatest.map((one) => one ?? 0)), 99);
});

test("a silence breaks the line", () => {
  const track = trackOf(
    readings([
      [0, 1],
      [1, 1],
      [2, 1],
      [3, 1],
      [60, 1],
      [61, 1],
      [62, 1],
    ]),
  );
  const { middle } = thinned(track, AT_S, AT_S + 100, 100);
  assert.equal(middle, [1, 1, 1, 1, null, 1, 1, 1]);
});

test("booleans are 0 and 1, and texts draw no line", () => {
  const track = trackOf(
    readings([
      [0, true],
      [1, false],
      [2, "RUN"],
    ]),
  );
  assert.equal(thinned(track, AT_S, AT_S + 10, 10).middle, [1, 0]);
});

test("figures of hours end where the readings begin", () => {
  const buckets = [-3, -2, -1, 0].map((hour) => ({
    bucket: iso(hour * 3600),
    avg_value: hour,
    min_value: hour - 1,
    max_value: hour + 1,
  }));
  const recent = thinned(
    trackOf(
      readings([
        [-1800, 7],
        [0, 8],
        [1800, 9],
      ]),
    ),
    AT_S - 3600,
    AT_S + 3600,
    60,
  );
  const lines = joined(buckets, 3600, recent);
  // The hour from −1 on is partly told by readings, and left to them.
  assert.equal(since(lines.times), [-9000, -5400, -1800, 0, 1800]);
  assert.equal(lines.middle, [-3, -2, 7, 8, 9]);
  assert.equal(lines.least.slice(0, 2), [-4, -3]);
});

test("without readings the figures are all there is", () => {
  const bucket = {
    bucket: iso(0),
    avg_value: 5,
    min_value: null,
    max_value: null,
  };
  const none = thinned(trackOf([]), AT_S, AT_S + 1, 10);
  assert.equal(joined([bucket], 3600, none).least, [5]);
});

test("what the stream repeats is taken once, and nothing goes back in time", () => {
  const track = trackOf(
    readings([
      [0, 1],
      [1, 2],
    ]),
  );
  assert.is(append(track, iso(1), 2), false);
  assert.is(append(track, iso(0.5), 9), false);
  assert.is(append(track, iso(2), 3), true);
  assert.equal(track.values, [1, 2, 3]);
  assert.is(track.exact.at(-1), iso(2));
});

test("old readings are let go in bulk", () => {
  const track = trackOf(
    readings(Array.from({ length: 1000 }, (_, i) => [i, i])),
  );
  trim(track, AT_S + 100);
  assert.is(track.times.length, 1000);
  trim(track, AT_S + 600);
  assert.is(track.times.length, 400);
  assert.is(track.values[0], 600);
});

test("words become bands, the one that reaches in from before among them", () => {
  const track = trackOf(
    readings([
      [-50, "STOP"],
      [0, "RUN"],
      [10, "RUN"],
      [20, "ALARM"],
      [25, "RUN"],
    ]),
  );
  const bands = bandsOf(track, AT_S - 10, AT_S + 30);
  assert.equal(
    bands.map(({ text, fromS, toS }) => [text, ...since([fromS, toS])]),
    [
      ["STOP", -10, 0],
      ["RUN", 0, 20],
      ["ALARM", 20, 25],
      ["RUN", 25, 30],
    ],
  );
});

test("the nearest reading is found on either side", () => {
  const track = trackOf(
    readings([
      [0, 1],
      [10, 2],
      [20, 3],
    ]),
  );
  assert.equal(
    [-5, 4, 6, 14, 99].map((s) => nearest(track, AT_S + s)),
    [0, 0, 1, 1, 2],
  );
  assert.is(nearest(trackOf([]), AT_S), null);
});

test.run();
