import { test } from "uvu";
import * as assert from "uvu/assert";
import { barPlot, short, ticksUpTo } from "./frame/svg.js";

const plot = {
  title: "a <plot> & more",
  unit: "messages/s",
  series: ["ours", "bare"],
  foot: "two cores",
  bars: [
    {
      label: "1,000 devices",
      values: [
        { median: 100, low: 90, high: 110 },
        { median: 200, low: 200, high: 200 },
      ],
    },
  ],
};
const widths = (svg: string): number[] =>
  [...svg.matchAll(/<rect class="s\d" [^>]*width="([\d.]+)" height="13"/g)].map(
    ([, width]) => Number(width),
  );

test("a bar is as long as its value, from zero on", () => {
  const [ours, bare] = widths(barPlot(plot));
  assert.is(Math.round((10 * bare!) / ours!), 20);
});

test("on a logarithmic axis ten times as much is one step more", () => {
  const of = (median: number) => ({ median, low: median, high: median });
  const bars = [1, 10, 100].map((one) => ({ label: "x", values: [of(one)] }));
  const [one, ten, hundred] = widths(
    barPlot({ ...plot, bars, logarithmic: true }),
  );
  assert.is(one, 1); // drawn all the same
  assert.ok(Math.abs(hundred! - 2 * ten!) < 1);
});

test("text cannot break the file", () => {
  const svg = barPlot(plot);
  assert.ok(svg.includes("a &lt;plot&gt; &amp; more"));
  assert.not(svg.includes("<plot>"));
});

test("steps are round and few, and numbers short", () => {
  assert.equal(ticksUpTo(57_300), [0, 10_000, 20_000, 30_000, 40_000, 50_000]);
  assert.equal(ticksUpTo(1), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
  assert.is(short(57_312), "57 k");
  assert.is(short(0.125), "0.125");
});

test.run();
