/**
 * Every benchmark in turn, each a process of its own. Says how long each took and what fell below its floor; exit code 1 then.
 *
 *   npm run bench                                     all, short: some ten minutes on an idle machine
 *   npm run bench -- --only drain,latency
 *   npm run bench -- --reference                      keeps the results in test/bench/results, draws deploy/plots, fills tables of README and deploy/capacity.md
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { optionsOf } from "../support/options.js";
import type { BenchResult } from "./frame/bench.js";
import { capacityTables } from "./frame/capacity-page.js";
import { figuresTable, runsLine } from "./frame/figures-page.js";
import { fillPage } from "./frame/pages.js";
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
  ["reads", ["--seconds", "2", "--rounds", "3"], 120],
  ["upload", ["--rounds", "3"], 120],
  ["worker", ["--megabytes", "300", "--claims", "5000"], 240],
  ["history", ["--questions", "100"], 180],
];
/** A busy machine takes longer; beyond this it says nothing. */
const PATIENCE = 3;
const RESULTS = "test/bench/results";
const PLOTS = "deploy/plots";
const CAPACITY = "deploy/capacity.md";
const README = "README.md";

const HELP = `npm run bench -- [options]
  --only <names>   these alone, with commas between: ${QUESTIONS.map(([name]) => name).join(", ")}
  --reference      keeps the results in ${RESULTS}, draws ${PLOTS}, fills the tables of ${README} and ${CAPACITY}

Without options each is asked, shortly: some twenty minutes on an idle machine. Exit code 1 when a figure is beyond its floor.`;

const values = optionsOf(HELP, {
  only: { type: "string" },
  reference: { type: "boolean", default: false },
});
const only = values.only?.split(",");
for (const name of only ?? [])
  if (!QUESTIONS.some(([one]) => one === name)) {
    console.error(`no benchmark is called ${name}; see --help`);
    process.exit(2);
  }
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
  let why = "below a floor, or it could not be measured";
  const end = (reason: string) => (): void => {
    why = reason;
    child.kill("SIGTERM");
  };
  const late = setTimeout(
    end(`not within ${mostSeconds * PATIENCE} s`),
    mostSeconds * 1000 * PATIENCE,
  );
  const interrupted = end("interrupted");
  process.once("SIGTERM", interrupted);
  const code = await new Promise<number | null>((done) =>
    child.on("close", done),
  );
  process.off("SIGTERM", interrupted);
  clearTimeout(late);
  if (code !== 0) failed.push(`${name} (${why})`);
  if (why === "interrupted") break;
}
if (values.reference) {
  for (const file of drawAll(RESULTS, PLOTS)) console.error(`drawn: ${file}`);
  const kept = QUESTIONS.map(([name]) => join(RESULTS, `${name}.json`))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, "utf8")) as BenchResult);
  fillPage(CAPACITY, { ...capacityTables(kept) });
  fillPage(README, { figures: `${figuresTable(kept)}\n\n${runsLine(kept)}` });
  // So that the lint takes them as they are.
  execFileSync("node_modules/.bin/prettier", [
    "--write",
    "--log-level=warn",
    RESULTS,
    CAPACITY,
    README,
  ]);
}
console.error(
  `\n${asked.length} benchmarks in ${Math.round((Date.now() - began) / 1000)} s; results in ${folder}`,
);
if (failed.length > 0) {
  console.error(failed.join("; "));
  process.exitCode = 1;
}
