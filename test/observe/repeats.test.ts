import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createRepeats, seldomLines } from "../../src/observe/repeats.js";

const repeats = suite("repeats");

repeats(
  "the first is due at once, the next after 5 s, 10 s, 20 s, then every 300 s",
  () => {
    let nowMs = 0;
    const { due } = createRepeats(() => nowMs);
    const told: number[] = [];
    for (; nowMs <= 2_000_000; nowMs += 1000)
      if (due("x") !== null) told.push(nowMs / 1000);
    assert.equal(
      told,
      [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215, 1515, 1815],
    );
  },
);

repeats("what was quiet for long is news again", () => {
  let nowMs = 0;
  const { due } = createRepeats(() => nowMs);
  due("x");
  due("x");
  nowMs = 3_600_000;
  assert.is(due("x"), 0);
});

repeats("as many different facts as there are do not grow memory", () => {
  const { due } = createRepeats(() => 0);
  due("first");
  for (let i = 0; i < 1000; i++) due(`other ${i}`);
  assert.is(due("first"), 0, "forgotten, so it is news");
  assert.is(due("other 999"), null, "still known");
});

repeats(
  "a library's repeated errors are thinned, its other lines are not",
  () => {
    let nowMs = 0;
    const lines: string[] = [];
    const write = (level: string) => (fields: object, message: string) =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    const log = seldomLines(
      {
        debug: write("debug"),
        info: write("info"),
        warn: write("warn"),
        error: write("error"),
      },
      () => nowMs,
    );
    for (let i = 0; i < 6; i++) {
      log("error", "connection refused", { attempt: i });
      log("info", "joined", {});
      nowMs += 1000;
    }
    assert.equal(
      lines.filter((line) => line.startsWith("error")),
      [
        'error connection refused {"attempt":0}',
        'error connection refused {"attempt":5,"left_out":4}',
      ],
    );
    assert.is(lines.length, 8);
  },
);
repeats.run();
