/**
 * The frame of every benchmark: options, the head that names machine, commit and settings, the figures, and the end. Figures
 * go to standard output (with `--json` as one document), what happens meanwhile to standard error.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { dirname } from "node:path";
import { optionsOf } from "../../support/options.js";
import { stopOwnStacks } from "../../support/services.js";
import { judge, type Judged, lineOf, type Measured } from "./measured.js";

/** What is kept of a run. */
export interface BenchResult {
  readonly question: string;
  readonly commit: string;
  readonly at: string;
  readonly seconds: number;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memory_gib: number;
    readonly node: string;
    /** Of the last minute, when it began and when it ended: what else the machine did. */
    readonly load: readonly [number, number];
  };
  readonly settings: Readonly<Record<string, string>>;
  readonly figures: readonly Judged[];
}

export interface Bench<Names extends string> {
  readonly settings: Readonly<Record<Names, string>>;
  number(name: Names): number;
  /** Several numbers by commas. */
  numbers(name: Names): number[];
  say(line: string): void;
  figure(measured: Measured): void;
  /** Prints and keeps the result; to be called once, when all is measured. */
  end(): void;
}

const commitOf = (): string => {
  const git = (...args: string[]): string =>
    execFileSync("git", args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    const dirty = git("status", "--porcelain", "--untracked-files=no") !== "";
    return git("rev-parse", "--short=12", "HEAD") + (dirty ? " and more" : "");
  } catch {
    return "unknown"; // A packed copy has no history.
  }
};

/** Begins a benchmark, measures, and ends it; see `openBench`. */
export async function runBench<Names extends string>(
  question: string,
  defaults: Readonly<Record<Names, string>>,
  work: (bench: Bench<Names>) => Promise<void>,
): Promise<void> {
  const bench = openBench(question, defaults);
  await work(bench);
  bench.end();
}

/**
 * Begins a benchmark. Its options are those given with their defaults, and `--json`, and `--to <file>` which keeps the result.
 * The exit code is 1 when a figure is beyond its floor.
 */
export function openBench<Names extends string>(
  question: string,
  defaults: Readonly<Record<Names, string>>,
): Bench<Names> {
  const options: Record<string, { type: "string" | "boolean" }> = {
    json: { type: "boolean" },
    to: { type: "string" },
  };
  for (const name of Object.keys(defaults)) options[name] = { type: "string" };
  const given = optionsOf(helpOf(question, defaults), options);
  const settings = { ...defaults } as Record<Names, string>;
  for (const name of Object.keys(defaults) as Names[]) {
    const value = given[name];
    if (typeof value === "string") settings[name] = value;
  }
  const json = given["json"] === true;
  const print = (line: string): void => {
    if (!json) console.log(line);
  };
  const began = Date.now();
  const load = loadavg()[0]!;
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
  const commit = commitOf();
  print(
    `${question}: ${machine.cores} × ${machine.cpu}, ${machine.memory_gib} GiB, Node ${machine.node}, load ${load.toFixed(1)}; commit ${commit}`,
  );
  const list = Object.entries(settings).map(([k, v]) => `${k} ${String(v)}`);
  print(`settings: ${list.join(", ")}`);
  const figures: Judged[] = [];
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      console.error("interrupted: stopping what was started");
      void stopOwnStacks().finally(() => process.exit(1));
    });
  return {
    settings,
    number: (name) => Number(settings[name]),
    numbers: (name) => settings[name].split(",").map(Number),
    say: (line) => console.error(`  … ${line}`),
    figure(measured) {
      const judged = judge(measured);
      figures.push(judged);
      print(lineOf(judged));
      if (judged.failure === null) return;
      console.error(`${judged.of}, ${judged.what}: ${judged.failure}`);
      process.exitCode = 1;
    },
    end() {
      const result: BenchResult = {
        question,
        commit,
        at: new Date(began).toISOString(),
        seconds: Math.round((Date.now() - began) / 1000),
        machine: {
          ...machine,
          load: [Number(load.toFixed(2)), Number(loadavg()[0]!.toFixed(2))],
        },
        settings,
        figures,
      };
      if (json) console.log(JSON.stringify(result));
      const to = given["to"];
      if (typeof to !== "string") return;
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, `${JSON.stringify(result, null, 2)}\n`);
    },
  };
}

const helpOf = (
  question: string,
  defaults: Readonly<Record<string, string>>,
): string => `npm run bench:${question} -- [options]
${Object.entries(defaults)
  .map(([name, value]) => `  --${name} <text>   (default: ${value || "none"})`)
  .join("\n")}
  --json        prints the result as JSON
  --to <file>   keeps it there

Exit code 1 when a figure is beyond its floor. Goals and floors: test/bench/${question}.ts`;
