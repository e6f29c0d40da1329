/**
 * Every benchmark in turn, each a process of its own. Says how long each took and what fell below its floor; exit code 1 then.
 *
 *   npm run bench                                     all, short: some ten minutes on an idle machine
 *   npm run bench -- --only drain,latency
 *   npm run bench -- --reference                      keeps the results in test/bench/results and draws deploy/plots
 */
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { drawAll } from "./frame/plots.js";

/** Each with what keeps it short enough for the whole to stay within a quarter of an hour, and the most it may take. */
const QUESTIONS: readonly (readonly [
  name: string,
  args: readonly string[],
  mostSeconds: number,
])[] = [
  ["drain", ["--devices", "1000", "--points", "1,4,20"], 240],
  ["drain-devices", ["--devices", "10000,100000", "--points", "4"], 240],
  ["parts", ["--runs", "2"], 150],
  ["partitions", ["--runs", "2"], 180],
  ["actors", [], 150],
  ["latency", ["--runs", "2", "--seconds", "6"], 180],
  ["sustained", ["--runs", "1"], 180],
  ["disk", [], 120],
  ["reads", ["--seconds", "2", "--rounds", "2"], 120],
  ["upload", ["--rounds", "3"], 120],
  ["worker", ["--megabytes", "100", "--claims", "1000"], 150],
  ["history", ["--questions", "100"], 180],
];
/** A busy machine takes longer; beyond this it says nothing. */
const PATIENCE = 3;
const RESULTS = "test/bench/results";
const PLOTS = "deploy/plots";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    reference: { type: "boolean", default: false },
  },
});
const only = values.only?.split(",");
const asked = QUESTIONS.filter(
  ([name]) => only === undefined || only.includes(name),
);
const folder = values.reference
  ? RESULTS
  : mkdtempSync(join(tmpdir(), "twinstream-bench-"));
const began = Date.now();
const failed: string[] = [];

for (const [n, [name, args, mostSeconds]] of asked.entries()) {
  const seconds = Math.round((Date.now() - began) / 1000);
  console.error(`\n[${n + 1} of ${asked.length}, ${seconds} s] ${name}`);
  const script = name === "drain-devices" ? "drain" : name;
  const child = spawn(
    process.execPath,
    [
      "--enable-source-maps",
      fileURLToPath(new URL(`${script}.js`, import.meta.url)),
      ...args,
      "--to",
      join(folder, `${name}.json`),
    ],
    { stdio: "inherit" },
  );
  const late = setTimeout(
    () => child.kill("SIGTERM"),
    mostSeconds * 1000 * PATIENCE,
  );
  const code = await new Promise<number | null>((done) =>
    child.on("close", done),
  );
  clearTimeout(late);
  if (code !== 0)
    failed.push(
      code === null ? `${name} (not within ${mostSeconds * PATIENCE} s)` : name,
    );
}
if (values.reference)
  for (const file of drawAll(RESULTS, PLOTS)) console.error(`drawn: ${file}`);
console.error(
  `\n${asked.length} benchmarks in ${Math.round((Date.now() - began) / 1000)} s; results in ${folder}`,
);
if (failed.length > 0) {
  console.error(`below a floor, or ended: ${failed.join(", ")}`);
  process.exitCode = 1;
}
