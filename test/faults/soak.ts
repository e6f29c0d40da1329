/**
 * `npm run test:soak`: half the suite's load for long, a fault every two to five minutes, and the roles weighed all the while.
 * Exit code 1 on any violation, and where heap or open files grow.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { Random } from "../../src/simulator/random.js";
import { HEAP_AFTER_GC } from "../support/heap-after-gc.js";
import { optionsOf, wholeOf } from "../support/options.js";
import {
  freezeRole,
  freezeService,
  instantIn,
  killRole,
  killService,
  least,
  SEEN,
  stopService,
} from "./acts.js";
import { headText, isWell, resultText } from "./report.js";
import { slopesOf, type Weight, weigh } from "./scales.js";
import { type Act, FULL, type Scenario } from "./scenario.js";
import { lineOf, runTrial, scheduleOf } from "./trial.js";

const HELP = `npm run test:soak -- [options]
  --minutes <n>   of the load (default 20)
  --seed <n>      of load and faults (default: another each time, printed)
  --rate <n>      messages a second (default ${FULL.rate / 2})
  --devices <n>   (default ${FULL.devices / 2})
  --keep <folder> where a failed soak leaves ledger, log and output (default: .twinstream/faults)`;

const values = optionsOf(HELP, {
  minutes: { type: "string", default: "20" },
  seed: { type: "string" },
  rate: { type: "string", default: String(FULL.rate / 2) },
  devices: { type: "string", default: String(FULL.devices / 2) },
  keep: { type: "string", default: ".twinstream/faults" },
});

const WEIGH_MS = 15_000;
/** Growth that a collector's mood does not explain. */
const HEAP_GROWS_MIB = 32;
const FILES_GROW = 20;

/** One fault after the other. What is weighed longest is never ended: the second processor is, and the services are. */
function faults(draw: Random, seconds: number): Act[] {
  const kinds: ((at: number) => Act)[] = [
    (at) => killRole("processor-2", { at, down: 3 }),
    (at) => killService("redis", { at, down: 3 }),
    (at) => killService("postgres", { at, down: 5 }),
    (at) => killService("kafka", { at, down: 5 }),
    (at) => stopService("mqtt", { at, down: 3 }),
    (at) => freezeRole("processor-2", { at, seconds: 40 }),
    (at) => freezeService("postgres", { at, seconds: 15 }),
    (at) => freezeService("redis", { at, seconds: 10 }),
  ];
  const acts: Act[] = [];
  let left: typeof kinds = [];
  // A short soak has two of them all the same.
  const most = Math.min(300, seconds / 2);
  const fewest = Math.min(120, seconds / 3);
  let at = instantIn(draw, 30, fewest);
  while (at < seconds - 45) {
    if (left.length === 0) left = [...kinds];
    const [make] = left.splice(Math.floor(draw() * left.length), 1);
    acts.push(make!(at));
    at += instantIn(draw, fewest, most);
  }
  return acts;
}

async function main(): Promise<number> {
  const knobs = {
    seed: wholeOf("seed", values.seed) ?? Math.floor(Math.random() * 2 ** 31),
    seconds: wholeOf("minutes", values.minutes)! * 60,
    rate: wholeOf("rate", values.rate)!,
    devices: wholeOf("devices", values.devices)!,
  };
  const heaps = await mkdtemp(join(tmpdir(), "twinstream-soak-"));
  const weights: Weight[] = [];
  const weighing: Act = {
    at: 0,
    to: "the scales",
    does: `all roles weighed every ${WEIGH_MS / 1000} s`,
    async run(ground) {
      const seconds = () => ground.load?.seconds() ?? 0;
      while (seconds() < knobs.seconds) {
        weights.push(...(await weigh(ground, heaps, seconds())));
        await pause(WEIGH_MS);
      }
    },
  };
  const soak: Scenario = {
    name: "soak",
    does: `${values.minutes} minutes with a fault every few`,
    expects: "sets are equal, and memory and open files do not grow",
    roles: { bridge: 1, processor: 2, gateway: 1, worker: 1 },
    commands: true,
    uploads: true,
    settings: {
      HEAP_FOLDER: heaps,
      NODE_OPTIONS: `--import=${pathToFileURL(HEAP_AFTER_GC).href}`,
    },
    schedule: (draw, { seconds }) => [weighing, ...faults(draw, seconds)],
    // Redis with its file, PostgreSQL, the log and one processor: any one of them shows that a fault bit.
    missed: (ground) =>
      [SEEN.kills, SEEN.stops, SEEN.frozen].some(
        (what) => least(what, 1)(ground) === null,
      )
        ? null
        : "no fault bit",
    deadline: 300,
  };
  try {
    console.log(headText(soak, knobs, scheduleOf(soak, knobs).map(lineOf)));
    const result = await runTrial(soak, knobs, values.keep, console.log);
    console.log(resultText(result));
    const slopes = slopesOf(weights, Math.min(120, knobs.seconds / 4));
    console.log(
      "\nrole          samples   RSS MiB/h   heap after gc MiB/h   files/h   heap grown MiB   files grown",
    );
    for (const one of slopes)
      console.log(
        one.name.padEnd(14) +
          String(one.samples).padStart(7) +
          one.rssMiBPerHour.toFixed(1).padStart(12) +
          one.heapMiBPerHour.toFixed(1).padStart(22) +
          one.filesPerHour.toFixed(1).padStart(10) +
          one.heapGrownMiB.toFixed(1).padStart(17) +
          one.filesGrown.toFixed(1).padStart(14),
      );
    const growing = slopes.filter(
      ({ heapGrownMiB, filesGrown }) =>
        heapGrownMiB > HEAP_GROWS_MIB || filesGrown > FILES_GROW,
    );
    for (const { name } of growing) console.log(`GROWS  ${name}`);
    console.log(`seed ${knobs.seed}`);
    return isWell(result) && growing.length === 0 ? 0 : 1;
  } finally {
    await rm(heaps, { recursive: true, force: true });
  }
}

process.exitCode = await main();
