import { test } from "uvu";
import * as assert from "uvu/assert";
import { lossesAgainst } from "./frame/losses.js";
import { judge } from "./frame/measured.js";

const drained = (ratio: number) =>
  judge({
    of: "a",
    what: "messages/s",
    less: false,
    runs: [ratio * 1000],
    bare: [1000],
  });
const cpu = (ratio: number) =>
  judge({ of: "a", what: "µs", less: true, runs: [ratio * 10], bare: [10] });

test("a loss within the allowed share passes, a gain too", () => {
  assert.equal(
    lossesAgainst([drained(0.9), cpu(1.1)], [drained(0.8), cpu(1.2)], 0.15),
    [],
  );
  assert.equal(
    lossesAgainst([drained(0.9), cpu(1.1)], [drained(1.5), cpu(0.5)], 0.15),
    [],
  );
});

test("a fifth fewer messages against the bare pipeline is told, with both ratios", () => {
  const [loss] = lossesAgainst([drained(0.9)], [drained(0.72)], 0.15);
  assert.match(loss!, /ratio 0.72, was 0.9: 25 % slower/);
});

test("a fifth more CPU a message is told", () => {
  assert.is(lossesAgainst([cpu(1)], [cpu(1.2)], 0.15).length, 1);
});

test("a figure that the reference does not hold is an error, and no silent pass", () => {
  assert.throws(
    () => lossesAgainst([], [cpu(1)], 0.15),
    /npm run bench -- --reference/,
  );
});

test.run();
