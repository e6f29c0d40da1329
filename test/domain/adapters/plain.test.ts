import { suite } from "uvu";
import * as assert from "uvu/assert";
import { adapterFor } from "../../../src/domain/adapters/registry.js";
import { plain } from "../../../src/domain/adapters/plain.js";
import { isFault } from "../../../src/domain/fault.js";

const plainObjects = suite("plain objects");

function adapted(json: string) {
  const outcome = plain.adapt(JSON.parse(json) as Record<string, unknown>);
  if (isFault(outcome)) throw new Error(outcome.detail);
  return {
    timeField: outcome.timeField,
    points: outcome.points.map((it) => [it.name, it.type, it.text ?? it.value]),
  };
}

plainObjects("every leaf becomes a point named by its dotted path", () => {
  assert.equal(
    adapted(
      `{"t":20.5,"door":{"open":false,"count":3},"list":[1,{"x":"y"},[true]],"none":null,"state":"ok"}`,
    ),
    {
      timeField: null,
      points: [
        ["t", "num", 20.5],
        ["door.open", "bool", 0],
        ["door.count", "num", 3],
        ["list.0", "num", 1],
        ["list.1.x", "string", "y"],
        ["list.2.0", "bool", 1],
        ["state", "string", "ok"],
      ],
    },
  );
});

plainObjects("the time is timestamp, else ts, else time, and no point", () => {
  for (const [json, timeField, names] of [
    [`{"timestamp":1,"a":1}`, "timestamp", ["a"]],
    [`{"a":1,"ts":1}`, "ts", ["a"]],
    [`{"time":1,"a":1}`, "time", ["a"]],
    [`{"time":1,"ts":2,"a":1}`, "ts", ["time", "a"]],
    [`{"timestamp":null,"time":1,"a":1}`, "time", ["a"]],
    [`{"a":{"ts":1}}`, null, ["a.ts"]],
    [`{"ts":1,"a":{"ts":5}}`, "ts", ["a.ts"]],
  ] as const) {
    const outcome = adapted(json);
    assert.is(outcome.timeField, timeField, json);
    assert.equal(
      outcome.points.map(([name]) => name),
      names,
    );
  }
});

plainObjects("a path is a name, with a name's bounds", () => {
  const deep = (levels: number) =>
    `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
  assert.is(adapted(deep(64)).points[0]?.[0], "a.".repeat(63) + "a");
  const outcome = plain.adapt(JSON.parse(deep(65)) as Record<string, unknown>);
  assert.ok(isFault(outcome));
});

plainObjects("a payload without schema is plain, whatever SCHEMA says", () => {
  assert.is(adapterFor({ a: 1 }), plain);
  assert.is(adapterFor({ SCHEMA: "v1" }), plain);
  assert.is(adapterFor({ SCHEMA: "other" }), plain);
});

plainObjects.run();
