/**
 * Every adapter of the registry under payloads near to those it reads: its golden samples with members changed, dropped, moved
 * and added. Nothing throws; what comes out is points as the decoder may rely on, or a fault of the closed list.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  isPointName,
  type JsonObject,
  MAX_POINTS,
} from "../../../src/domain/adapters/adapter.js";
import { ADAPTERS, chooserOf } from "../../../src/domain/adapters/registry.js";
import { createDecoder, isDeadLetter } from "../../../src/domain/decode.js";
import { isFault } from "../../../src/domain/fault.js";
import { DEAD_LETTER_REASONS } from "../../../src/errors.js";
import { heard, RULES } from "../records.js";

const test = suite("adapters under any payload");

const samplesOf = (name: string): JsonObject[] =>
  (
    JSON.parse(
      readFileSync(
        resolve(`test/domain/adapters/${name}.samples.json`),
        "utf8",
      ),
    ) as { payload: JsonObject }[]
  ).map(({ payload }) => payload);

/** Where in a JSON value a change is made, and which. */
const change = fc.record({
  steps: fc.array(fc.nat(30), { minLength: 1, maxLength: 5 }),
  how: fc.constantFrom("set", "set", "set", "drop", "add", "nest", "double"),
  value: fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(
      1e308,
      -0,
      2 ** 53 + 2,
      "",
      "\u0000",
      "\ud800",
      "ON",
      "1e999",
      "x".repeat(300),
      [],
      {},
      "2025-11-20T10:00:00Z",
      1763632800,
    ),
  ),
  key: fc.constantFrom(
    "__proto__",
    "constructor",
    "toString",
    "ts",
    "Time",
    "schema",
    "SCHEMA",
    "points",
    "name",
    "a.b",
    "",
    "\u2028",
  ),
});
type Change = typeof change extends fc.Arbitrary<infer C> ? C : never;

/** A copy of the value, changed. Keys such as `__proto__` become members, as JSON.parse makes them. */
function changed(
  value: unknown,
  { steps, how, value: put, key }: Change,
): unknown {
  const [step, ...rest] = steps;
  if (typeof value !== "object" || value === null || step === undefined)
    return how === "nest" ? { [key]: value } : put;
  const entries = Object.entries(value);
  const at = step % Math.max(1, entries.length);
  const [name, inner] = entries[at] ?? [key, null];
  if (rest.length > 0 && typeof inner === "object" && inner !== null)
    entries[at] = [name, changed(inner, { steps: rest, how, value: put, key })];
  else if (how === "drop") entries.splice(at, 1);
  else if (how === "add") entries.push([key, put]);
  else if (how === "double") entries.push([`${name}`.toUpperCase(), inner]);
  else entries[at] = [name, how === "nest" ? { [key]: inner } : put];
  if (Array.isArray(value)) return entries.map(([, one]) => one);
  const text = entries
    .map(
      ([of, one]) => `${JSON.stringify(of)}:${JSON.stringify(one) ?? "null"}`,
    )
    .join(",");
  return JSON.parse(`{${text}}`) as unknown;
}

/** As `readObject` lets it through: an object, its text without what cannot be stored. */
const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

for (const adapter of ADAPTERS.values()) {
  const samples = samplesOf(adapter.name);
  const near = fc
    .tuple(fc.constantFrom(...samples), fc.array(change, { maxLength: 4 }))
    .map(([sample, changes]) => changes.reduce<unknown>(changed, sample));

  test(`${adapter.name}: its samples, changed at random, are points or a fault`, () => {
    let read = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          { weight: 9, arbitrary: near },
          { weight: 1, arbitrary: fc.dictionary(fc.string(), fc.jsonValue()) },
        ),
        (payload) => {
          if (!isObject(payload)) return;
          const before = JSON.stringify(payload);
          const adapted = adapter.adapt(payload);
          assert.is(JSON.stringify(payload), before, "it changes its payload");
          if (isFault(adapted)) {
            refused++;
            assert.ok(DEAD_LETTER_REASONS.includes(adapted.reason));
            assert.ok(adapted.detail.length > 0);
            return;
          }
          read++;
          const { points, timeField } = adapted;
          assert.ok(points.length > 0 && points.length <= MAX_POINTS);
          if (timeField !== null) assert.ok(Object.hasOwn(payload, timeField));
          for (const [
            i,
            { item, name, typeClass, value, text },
          ] of points.entries()) {
            assert.is(item, i);
            assert.ok(isPointName(name), JSON.stringify(name));
            if (typeClass === "text")
              assert.ok(typeof text === "string" && value === null);
            else assert.ok(typeof value === "number" && text === null);
            if (typeClass === "bool") assert.ok(value === 0 || value === 1);
            assert.not(Number.isNaN(value));
          }
        },
      ),
      { numRuns: 1500, seed: 20_251_128, includeErrorInReport: true },
    );
    assert.ok(read > 200 && refused > 200, `${read} read, ${refused} refused`);
  });

  test(`${adapter.name}: a device registered with it sends what becomes a message or a dead letter`, () => {
    const { decode } = createDecoder({
      ...RULES,
      adapterOf: chooserOf(() => new Map([["dev-1", adapter.name]])),
    });
    fc.assert(
      fc.property(near, (payload) => {
        const outcome = decode(heard(JSON.stringify(payload)));
        if (isDeadLetter(outcome))
          assert.ok(DEAD_LETTER_REASONS.includes(outcome.reason));
        else if (outcome.kind === "data")
          assert.ok(
            outcome.points.length + outcome.refused.length > 0 &&
              Number.isSafeInteger(outcome.timeUs),
          );
        else assert.unreachable(outcome.kind);
      }),
      { numRuns: 1500, seed: 20_251_128, includeErrorInReport: true },
    );
  });
}

test.run();
