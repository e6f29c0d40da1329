/** Every adapter against its golden samples: `<name>.samples.json` beside this file, payload → exactly what comes of it. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { JsonObject } from "../../../src/domain/adapters/adapter.js";
import { ADAPTERS, adapterFor } from "../../../src/domain/adapters/registry.js";
import { isFault } from "../../../src/domain/fault.js";

/** Either a fault's detail, or what the payload gives; points as [name, type, value or text, unit]. */
interface Sample {
  readonly sample: string;
  readonly payload: JsonObject;
  readonly fault?: string;
  readonly time?: string | null;
  readonly points?: readonly (readonly unknown[])[];
  readonly meta?: JsonObject | null;
}

const test = suite("golden samples");
const samplesOf = (name: string): Sample[] =>
  JSON.parse(
    readFileSync(resolve(`test/domain/adapters/${name}.samples.json`), "utf8"),
  ) as Sample[];

assert.ok(ADAPTERS.size >= 4);
for (const adapter of ADAPTERS.values()) {
  const samples = samplesOf(adapter.name);
  test(`${adapter.name} has some that it reads and some that it refuses`, () => {
    assert.ok(samples.some(({ points }) => points !== undefined));
    assert.ok(samples.some(({ fault }) => fault !== undefined));
  });
  for (const { sample, payload, ...expected } of samples)
    test(`${adapter.name}: ${sample}`, () => {
      const adapted = adapter.adapt(payload);
      assert.equal(
        isFault(adapted)
          ? { fault: adapted.detail }
          : {
              time: adapted.timeField,
              points: adapted.points.map((it) => [
                it.name,
                it.type,
                it.text ?? it.value,
                it.unit,
              ]),
              meta: adapted.meta,
            },
        expected,
      );
      if (!isFault(adapted))
        assert.equal(
          adapted.points.map(({ item }) => item),
          adapted.points.map((_, i) => i),
        );
      if ("schema" in payload || "SCHEMA" in payload)
        assert.is(adapterFor(payload), adapter);
    });
}

test.run();
