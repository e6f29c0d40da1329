import { suite } from "uvu";
import * as assert from "uvu/assert";
import { isFault } from "../../src/domain/fault.js";
import {
  type Comparable,
  type Comparison,
  judgePrecondition,
  readPrecondition,
} from "../../src/domain/precondition.js";

const test = suite("preconditions");

const state = (...points: [name: string, v: Comparable][]) =>
  JSON.stringify({
    schema: "v1",
    points: points.map(([name, v]) => ({ name, v })),
  });
const holds = (op: Comparison, value: Comparable, v: Comparable) =>
  judgePrecondition({ point: "p", op, value }, state(["q", 0], ["p", v])).holds;

test("each comparison holds where it should, and only there", () => {
  // What holds for a value below 5, for 5, and for one above.
  const expected: Record<Comparison, string> = {
    eq: "-x-",
    ne: "x-x",
    lt: "x--",
    le: "xx-",
    gt: "--x",
    ge: "-xx",
  };
  for (const [op, marks] of Object.entries(expected))
    assert.is(
      [4.9, 5, 1e9]
        .map((v) => (holds(op as Comparison, 5, v) ? "x" : "-"))
        .join(""),
      marks,
      op,
    );
  assert.ok(holds("eq", "RUN", "RUN"));
  assert.ok(holds("ne", true, false));
});

test("what cannot be compared does not hold, and the evidence tells the value seen", () => {
  assert.not(holds("eq", 1, true));
  assert.not(holds("ne", "1", 1));
  const condition = { point: "p", op: "eq", value: "STOP" } as const;
  for (const [newest, seen] of [
    [null, "no last state"],
    [state(["q", 1]), '"p" has no value'],
    [state(["p", "RUN"]), '"p" is "RUN", wanted eq "STOP"'],
    [state(["p", 3]), '"p" is 3, wanted eq "STOP"'],
  ] as const) {
    const judged = judgePrecondition(condition, newest);
    assert.not(judged.holds);
    assert.match(judged.evidence, seen);
  }
});

test("of a point that changed its type the one that can be compared counts", () => {
  const newest = state(["p", 7], ["p", "RUN"]);
  const condition = { point: "p", op: "eq", value: "RUN" } as const;
  assert.ok(judgePrecondition(condition, newest).holds);
});

test("what is no condition is said in words", () => {
  const good = { point: "p", op: "lt", value: 1 };
  assert.equal(readPrecondition(good), good);
  for (const [given, detail] of [
    [[], "precondition: "],
    ["x", "precondition: "],
    [{ ...good, point: "" }, "precondition.point: "],
    [{ ...good, op: "like" }, "precondition.op: "],
    [{ ...good, op: "toString" }, "precondition.op: "],
    [{ ...good, value: null }, "precondition.value: "],
    [{ ...good, value: "1" }, "precondition.value: expected a number, since"],
    [{ ...good, value: Infinity }, "precondition.value: "],
    [{ ...good, unless: 1 }, "precondition.unless: "],
  ] as const) {
    const read = readPrecondition(given);
    assert.ok(isFault(read), JSON.stringify(given));
    assert.match(read.detail, detail);
  }
});

test.run();
