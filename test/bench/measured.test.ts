import { test } from "uvu";
import * as assert from "uvu/assert";
import { judge, lineOf, median, quantile } from "./frame/measured.js";

const drained = {
  of: "1,000 devices",
  what: "messages/s",
  less: false,
  runs: [90, 80, 100],
  bare: [100, 100, 100],
};

test("the middle of an even number of values is the mean of the two beside it", () => {
  assert.is(median([4, 1, 3, 2]), 2.5);
  assert.is(median([3, 1, 2]), 2);
});

test("a quantile is one of the values, the last for the whole", () => {
  const values = Array.from({ length: 101 }, (_, i) => i);
  assert.is(quantile(values, 0.5), 50);
  assert.is(quantile(values, 0.99), 99);
  assert.is(quantile(values, 1), 100);
  assert.is(quantile([7], 0.999), 7);
});

test("each run is held against the bare run beside it, so that a slow minute of the machine cancels out", () => {
  const { ratio } = judge({
    ...drained,
    runs: [45, 90, 9],
    bare: [50, 100, 10],
  });
  assert.is(ratio, 0.9);
});

test("a ratio below its floor fails, at its floor it does not", () => {
  assert.is(judge({ ...drained, floorRatio: 0.9 }).failure, null);
  assert.match(
    judge({ ...drained, floorRatio: 0.91 }).failure ?? "",
    /0.9 of the bare operation is below 0.91/,
  );
});

test("where less is better, a ratio above its floor fails", () => {
  const cpu = { ...drained, less: true };
  assert.is(judge({ ...cpu, floorRatio: 1 }).failure, null);
  assert.match(judge({ ...cpu, floorRatio: 0.8 }).failure ?? "", /above 0.8/);
});

test("a goal that is missed is said and fails nothing", () => {
  const judged = judge({ ...drained, goal: 95, goalRatio: 0.85 });
  assert.is(judged.goalMet, false);
  assert.is(judged.failure, null);
  assert.is(
    lineOf(judged),
    "1,000 devices: 90 (80–100) messages/s; bare 100; ratio 0.9; goal 95 and 0.85 of bare not met",
  );
});

test("without a bare operation there is no ratio", () => {
  const { bare, ...alone } = drained;
  assert.is(judge(alone).ratio, null);
  assert.is(judge({ ...alone, floor: bare[0]! }).failure, "90 is below 100");
});

test.run();
