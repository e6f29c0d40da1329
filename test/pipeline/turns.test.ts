import { setImmediate as round } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createTurns } from "../../src/pipeline/turns.js";

const test = suite("turns");

const LARGE = 262_144;
const SMALL = 100;

test("large ones go one after the other, in the order in which they asked, and each gets its own result", async () => {
  const turns = createTurns();
  const said: string[] = [];
  const one = (name: string) =>
    turns(LARGE, async () => {
      said.push(`${name} begins`);
      await round();
      said.push(`${name} ends`);
      return name;
    });
  assert.equal(await Promise.all([one("a"), one("b"), one("c")]), [
    "a",
    "b",
    "c",
  ]);
  assert.equal(
    said,
    ["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
});

test("a small one waits for none of them", async () => {
  const turns = createTurns();
  let end: () => void = () => undefined;
  const large = turns(LARGE, () => new Promise<void>((done) => (end = done)));
  assert.is(await turns(SMALL, () => 7), 7);
  end();
  await large;
});

test("what has come in meanwhile is looked at between two of them", async () => {
  const turns = createTurns();
  const said: string[] = [];
  const first = turns(LARGE, () => {
    said.push("first");
    setImmediate(() => said.push("came in"));
  });
  const second = turns(LARGE, () => said.push("second"));
  await Promise.all([first, second]);
  assert.equal(said, ["first", "came in", "second"]);
});

test("one that throws tells its own caller, and the next has its turn", async () => {
  const turns = createTurns();
  const thrown = turns(LARGE, () => {
    throw new Error("no");
  });
  const next = turns(LARGE, () => "next");
  await thrown.then(assert.unreachable, (error: Error) =>
    assert.is(error.message, "no"),
  );
  assert.is(await next, "next");
});

test.run();
