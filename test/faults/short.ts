/**
 * The part of the fault suite that belongs to every test run: some scenarios under a smaller load than the suite's own, so
 * that they fit beside other tests. `npm run test:faults` is the whole, at full load.
 */
import * as assert from "uvu/assert";
import { SCENARIOS } from "./registry.js";
import { headText, resultText } from "./report.js";
import type { Knobs } from "./scenario.js";
import { lineOf, runTrial, scheduleOf } from "./trial.js";

const SMALL: Omit<Knobs, "seed"> = { seconds: 20, rate: 300, devices: 100 };
/** The same schedules each time, seen to bite; the whole suite draws its own. */
const SEED = 20_251_128;
const KEEP = ".twinstream/faults";

/** Fails on any violation, and where the fault never bit; prints what it did, the seed among it. */
export async function holdsUnder(
  name: string,
  knobs: Partial<Knobs> = {},
): Promise<void> {
  const scenario = SCENARIOS.find((one) => one.name === name);
  assert.ok(scenario, `there is no scenario ${name}`);
  const all = { seed: SEED, ...SMALL, ...knobs };
  console.log(headText(scenario, all, scheduleOf(scenario, all).map(lineOf)));
  const result = await runTrial(scenario, all, KEEP, console.log);
  console.log(resultText(result));
  assert.equal(result.violations, []);
  assert.is(result.voided, null, "the fault never bit");
}
