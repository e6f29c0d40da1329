import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Adapter } from "../../../src/domain/adapters/adapter.js";
import {
  ADAPTERS,
  chooserOf,
  namesAdapter,
} from "../../../src/domain/adapters/registry.js";
import { createDecoder, isDeadLetter } from "../../../src/domain/decode.js";
import { type Fault, isFault } from "../../../src/domain/fault.js";
import { heard, RULES } from "../records.js";

const choosing = suite("which adapter reads a payload");

const registered = new Map([
  ["dev-1", "tasmota"],
  ["acme/dev-1", "parsec_v1"],
  ["old", "gone"],
]);
const choose = chooserOf(() => registered);
const nameOf = (chosen: Adapter | Fault) =>
  isFault(chosen) ? `${chosen.reason}: ${chosen.detail}` : chosen.name;

choosing("the payload's schema, else its device's adapter, else plain", () => {
  for (const [payload, address, name] of [
    [{ a: 1 }, "dev-1", "tasmota"],
    [{ a: 1 }, "acme/dev-1", "parsec_v1"],
    [{ a: 1 }, "dev-2", "plain"],
    [{ schema: "v1" }, "dev-1", "v1"],
    [{ schema: "parsec_v1" }, "dev-1", "parsec_v1"],
    [{ SCHEMA: "parsec_v1" }, "dev-1", "parsec_v1"],
    [{ SCHEMA: "other" }, "dev-1", "tasmota"],
    [{ schema: "v9" }, "dev-1", /^unknown_schema: .*"v9"/],
    [{ schema: null }, "dev-1", /^unknown_schema: /],
    [{ a: 1 }, "old", /^unknown_schema: .*"gone"/],
  ] as const) {
    const chosen = nameOf(choose(payload, address));
    if (typeof name === "string") assert.is(chosen, name);
    else assert.match(chosen, name);
  }
});

choosing("says whether the payload itself names one", () => {
  assert.ok(namesAdapter({ schema: "v9" }));
  assert.ok(namesAdapter({ SCHEMA: "parsec_v1" }));
  assert.not(namesAdapter({ SCHEMA: "other", a: 1 }));
});

choosing("every adapter is listed by its own name", () => {
  for (const [name, adapter] of ADAPTERS) assert.is(adapter.name, name);
});

choosing("the decoder goes by it, and by a change at once", () => {
  const names = new Map<string, string>();
  const { decode } = createDecoder({
    ...RULES,
    adapterOf: chooserOf(() => names),
  });
  const record = heard({
    Time: "2025-11-20T09:00:00",
    POWER: "ON",
    Info: { Version: "14.2" },
  });
  const seen = () => {
    const outcome = decode(record);
    if (isDeadLetter(outcome) || outcome.kind !== "data")
      throw new Error("not data");
    const { adapter, firmware, timeUs, arrivalUs } = outcome;
    return [adapter, firmware, timeUs === arrivalUs, outcome.points.length];
  };
  assert.equal(seen(), ["plain", null, true, 3]);
  names.set("dev-1", "tasmota");
  assert.equal(seen(), ["tasmota", "14.2", false, 1]);
});

choosing.run();
