/** `npm run test:faults`: the fault suite. Exit code 1 on any violation, and where a fault never bit. */
import { writeFile } from "node:fs/promises";
import { reasonOf } from "../../src/errors.js";
import { optionsOf, wholeOf } from "../support/options.js";
import { SCENARIOS } from "./registry.js";
import { headText, isWell, resultText, tableText } from "./report.js";
import { FULL, type Knobs, type Scenario } from "./scenario.js";
import { lineOf, type Result, runTrial, scheduleOf } from "./trial.js";

const HELP = `npm run test:faults -- [options]
  --list            names, and what each does
  --only <name>     that alone, or all whose name has this; may be given again
  --seed <n>        of loads and schedules (default: another each time, printed)
  --seconds <n>     of each load (default: the scenario's, mostly ${FULL.seconds})
  --rate <n>        messages a second (default: the scenario's, mostly ${FULL.rate})
  --devices <n>     (default: the scenario's, mostly ${FULL.devices})
  --json <file>     writes the results there as well
  --keep <folder>   where a failed trial leaves ledger, log and output (default: .twinstream/faults)

Each scenario runs on services and processes of its own, one after the other. Exit code 1 when anything was lost, doubled, out
of order or did not recover, or when a fault never bit.`;

const SEEDS = 2 ** 31;

const values = optionsOf(HELP, {
  list: { type: "boolean", default: false },
  only: { type: "string", multiple: true, default: [] },
  seed: { type: "string" },
  seconds: { type: "string" },
  rate: { type: "string" },
  devices: { type: "string" },
  json: { type: "string" },
  keep: { type: "string", default: ".twinstream/faults" },
});
const seed = wholeOf("seed", values.seed) ?? Math.floor(Math.random() * SEEDS);
const asked = {
  seconds: wholeOf("seconds", values.seconds),
  rate: wholeOf("rate", values.rate),
  devices: wholeOf("devices", values.devices),
};

function knobsOf({ knobs }: Scenario): Knobs {
  const usual = { ...FULL, ...knobs };
  return {
    seed,
    seconds: asked.seconds ?? usual.seconds,
    rate: asked.rate ?? usual.rate,
    devices: asked.devices ?? usual.devices,
  };
}

async function main(): Promise<number> {
  const whole = new Set(SCENARIOS.map(({ name }) => name));
  const chosen = SCENARIOS.filter(
    ({ name }) =>
      values.only.length === 0 ||
      values.only.some((part) =>
        whole.has(part) ? name === part : name.includes(part),
      ),
  );
  if (chosen.length === 0) {
    console.error(`no scenario is called ${values.only.join(" or ")}: --list`);
    return 2;
  }
  if (values.list) {
    for (const { name, does, expects } of chosen)
      console.log(`${name}\n  ${does}\n  expected: ${expects}`);
    return 0;
  }
  console.log(`seed ${seed}`);
  const results: Result[] = [];
  const broken: string[] = [];
  for (const scenario of chosen) {
    const knobs = knobsOf(scenario);
    const schedule = scheduleOf(scenario, knobs).map(lineOf);
    console.log(headText(scenario, knobs, schedule));
    try {
      const result = await runTrial(scenario, knobs, values.keep, console.log);
      results.push(result);
      console.log(resultText(result));
    } catch (error) {
      broken.push(`${scenario.name}: ${reasonOf(error)}`);
      console.error(error);
    }
  }
  if (results[0] !== undefined)
    console.log(
      `\n${Object.entries(results[0].versions)
        .map(([name, version]) => `${name} ${version}`)
        .join("\n")}`,
    );
  console.log(`\nseed ${seed}\n${tableText(results)}`);
  for (const line of broken) console.log(`BROKEN  ${line}`);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`);
  return broken.length === 0 && results.every(isWell) ? 0 : 1;
}

process.exitCode = await main();
