import { suite } from "uvu";
import * as assert from "uvu/assert";
import { table } from "../../src/main/table.js";

const test = suite("tables of the command line");

test("each column is as wide as its widest cell, and no line ends in blanks", () => {
  assert.is(
    table([
      ["role", "lag", ""],
      ["processor", "7", "waits"],
      ["bridge", "1,200", ""],
    ]),
    ["role       lag", "processor  7      waits", "bridge     1,200"].join(
      "\n",
    ),
  );
});

test("a row that says one thing at length makes no column wider", () => {
  assert.is(
    table([
      ["role", "lag", "actors"],
      ["bridge", "does not answer at http://127.0.0.1:9101"],
      ["worker", "0", "3"],
    ]),
    [
      "role    lag  actors",
      "bridge  does not answer at http://127.0.0.1:9101",
      "worker  0    3",
    ].join("\n"),
  );
});

test("no rows are no lines", () => {
  assert.is(table([]), "");
});

test.run();
