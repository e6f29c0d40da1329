import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  agoText,
  axisText,
  bytesText,
  countText,
  momentText,
  numberText,
  plural,
  spanText,
  tickText,
  valueText,
} from "../../src/gateway/dashboard/format.js";

const test = suite("page: numbers and times as people read them");

const plain = (text: string): string => text.replaceAll("\u202f", " ");

test("numbers have as many digits as the eye needs, and groups of three", () => {
  for (const [value, text] of [
    [0, "0"],
    [22.5, "22.5"],
    [4.123456, "4.123"],
    [0.000123, "0.0001"],
    [1234567, "1 234 567"],
    [-1234.56, "−1 234.6"],
    [1e21, "1.000e+21"],
    [0.0000012, "1.200e-6"],
    [Number.NaN, "NaN"],
  ] as const)
    assert.is(plain(numberText(value)), text);
  assert.is(countText(null), "–");
  assert.is(axisText(1_795_853_765_559), "1.796T");
  assert.is(axisText(250_000), "250k");
  assert.is(plain(axisText(-42_000)), "−42 000");
});

test("values are shown as what they are", () => {
  assert.equal([true, false, "RUN", null, { a: 1 }].map(valueText), [
    "on",
    "off",
    "RUN",
    "–",
    '{"a":1}',
  ]);
});

test("sizes and spans are in their largest units", () => {
  assert.equal([0, 1023, 1536, 5 * 1024 ** 3].map(bytesText), [
    "0 B",
    "1023 B",
    "1.5 KB",
    "5.0 GB",
  ]);
  const MIN = 60_000;
  assert.equal(
    [4000, 3 * MIN, 125 * MIN, 120 * MIN, 30 * 60 * MIN, 9 * 1440 * MIN].map(
      spanText,
    ),
    ["4 s", "3 min", "2 h 5 min", "2 h", "1 d 6 h", "9 d"],
  );
});

test("ages count from the clock that is given", () => {
  assert.is(agoText(10_000, 10_900), "now");
  assert.is(agoText(10_000, 70_000), "1 min ago");
  assert.is(agoText(70_000, 10_000), "in 1 min");
});

test("a moment of today is its clock alone", () => {
  const at = new Date(2026, 0, 15, 9, 5, 7).getTime();
  assert.is(momentText(at, at + 1000), "09:05:07");
  assert.is(momentText(at, at + 86_400_000), "2026-01-15 09:05:07");
  assert.is(tickText(at, 3600), "09:05");
  assert.is(tickText(at, 7 * 86_400), "15 Jan");
  assert.is(tickText(at, 365 * 86_400), "Jan 2026");
});

test("one is one and two are many", () => {
  assert.is(plural(1, "device"), "1 device");
  assert.is(plural(2, "device"), "2 devices");
});

test.run();
