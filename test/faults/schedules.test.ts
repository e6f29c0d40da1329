/** The scenarios' declarations: what is printed of a run is what another run with its seed does. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SCENARIOS } from "./registry.js";
import { FULL } from "./scenario.js";
import { lineOf, scheduleOf } from "./trial.js";

const test = suite("the fault suite's schedules");
const knobsOf = (name: string, seed: number) => ({
  seed,
  ...FULL,
  ...SCENARIOS.find((one) => one.name === name)!.knobs,
});

test("every scenario has a name of its own", () => {
  const names = SCENARIOS.map(({ name }) => name);
  assert.is(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^[a-z][a-z0-9-]*$/);
});

test("the same seed makes the same schedule", () => {
  for (const scenario of SCENARIOS) {
    const lines = () =>
      scheduleOf(scenario, knobsOf(scenario.name, 5)).map(lineOf);
    assert.equal(lines(), lines(), scenario.name);
  }
});

test("another seed makes another mixture", () => {
  const scenario = SCENARIOS.find(({ name }) => name === "mixture-1")!;
  const lines = (seed: number) =>
    scheduleOf(scenario, knobsOf("mixture-1", seed)).map(lineOf);
  assert.not.equal(lines(1), lines(2));
});

test("at full length every act begins while the load is on", () => {
  for (let seed = 0; seed < 20; seed++)
    for (const scenario of SCENARIOS) {
      const knobs = knobsOf(scenario.name, seed);
      for (const { at, does } of scheduleOf(scenario, knobs))
        assert.ok(
          at >= 0 && at < knobs.seconds,
          `${scenario.name}: ${does} at ${at} of ${knobs.seconds} s`,
        );
    }
});

test.run();
