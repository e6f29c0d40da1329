/**
 * The test runner: each file in a process of its own, fails unless there are files and every test in them passed, and ends
 * with one line `N passed, N failed, N skipped`. Arguments are parts of file names: only
 * files that have one of them run.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { SHARED_STACK, startOwnStack, type Stack } from "./support/services.js";

interface Outcome {
  readonly file: string;
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
  /** Why the file counts as failed though no single test did; null when it does not. */
  readonly broken: string | null;
  readonly output: string;
  readonly seconds: number;
}

/** Longest that one file may take. */
const FILE_MS = 600_000;
/** Folders whose tests need no services, and may run beside each other. */
const UNIT = [
  "domain",
  "pipeline",
  "actors",
  "dashboard",
  "gateway",
  "main",
  "observe",
  "simulator",
];

const here = fileURLToPath(new URL(".", import.meta.url));

function runFile(file: string, env: NodeJS.ProcessEnv): Promise<Outcome> {
  const startedMs = Date.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--enable-source-maps", file], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    const timer = setTimeout(() => child.kill("SIGKILL"), FILE_MS);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const total = sumOf(output, "Total");
      const passed = sumOf(output, "Passed");
      const skipped = sumOf(output, "Skipped");
      let broken: string | null = null;
      if (signal !== null) broken = `ended by ${signal}`;
      else if (total + skipped === 0) broken = "ran no test";
      else if (code !== 0 && passed === total) broken = `exit code ${code}`;
      const seconds = (Date.now() - startedMs) / 1000;
      const name = relative(here, file);
      resolve({ file: name, total, passed, skipped, broken, output, seconds });
    });
  });
}

/** uvu prints `Total: 3` and the like once a suite run. */
function sumOf(output: string, label: string): number {
  const found = output.matchAll(new RegExp(`^\\s+${label}:\\s+(\\d+)`, "gm"));
  return [...found].reduce((sum, match) => sum + Number(match[1]), 0);
}

/** What uvu says of the tests that failed: at the end once more, since roles that log may have said much before. */
function failuresOf(output: string): string {
  const found = output.matchAll(/^ {3}FAIL .*?(?=^ {2}Total:)/gms);
  return [...found].map(([text]) => text.trimEnd()).join("\n\n");
}

/** Takes from the front of a list that others may take from too, until it is empty. */
async function workThrough(
  files: string[],
  run: (file: string) => Promise<void>,
): Promise<void> {
  for (let file = files.shift(); file !== undefined; file = files.shift())
    await run(file);
}

const wanted = process.argv.slice(2);
const files = readdirSync(here, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.js"))
  .map((name) => join(here, name))
  .filter(
    (file) => wanted.length === 0 || wanted.some((part) => file.includes(part)),
  )
  .toSorted();
const folderOf = (file: string): string =>
  relative(here, file).split("/", 1)[0] ?? "";
const isUnit = (file: string): boolean => {
  const folder = folderOf(file);
  return UNIT.includes(folder) || folder.endsWith(".test.js");
};
const outcomes: Outcome[] = [];
const run =
  (env: NodeJS.ProcessEnv) =>
  async (file: string): Promise<void> => {
    const outcome = await runFile(file, env);
    outcomes.push(outcome);
    const { passed, total, skipped, seconds, broken } = outcome;
    const good = passed === total && broken === null;
    console.log(
      `${good ? "ok  " : "FAIL"} ${outcome.file}  ${passed}/${total}${skipped > 0 ? `, ${skipped} skipped` : ""}  ${seconds.toFixed(1)} s${broken === null ? "" : `  (${broken})`}`,
    );
    const said = outcome.output
      .split("\n")
      // What a test could not try, and what it left for people to look at.
      .filter((line) => /^\s*(skipped|kept): /.test(line));
    for (const line of good ? said : [outcome.output]) console.log(line);
  };

const units = files.filter(isUnit);
await Promise.all(
  Array.from({ length: availableParallelism() }, () =>
    workThrough(units, run(process.env)),
  ),
);
const others = files.filter((file) => !isUnit(file));
let stack: Stack | null = null;
if (others.length > 0) {
  try {
    const startedMs = Date.now();
    stack = await startOwnStack(["kafka", "redis", "postgres", "mqtt"]);
    console.log(
      `services up in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`,
    );
    const env = { ...process.env, [SHARED_STACK]: JSON.stringify(stack.env) };
    // Those with services of their own beside those that share these: each mostly waits. Whoever is through first goes on
    // with the faults, which have services of their own too.
    const ownServices = others.filter((file) => folderOf(file) === "e2e");
    const faults = others.filter((file) => folderOf(file) === "faults");
    const shared = others.filter(
      (file) => !["e2e", "faults"].includes(folderOf(file)),
    );
    await Promise.all(
      [ownServices, shared].map(async (own) => {
        await workThrough(own, run(env));
        await workThrough(faults, run(env));
      }),
    );
  } finally {
    await stack?.stop();
  }
}

for (const { file, output } of outcomes) {
  const failures = failuresOf(output);
  if (failures !== "") console.log(`FAIL ${file}\n${failures}`);
}
const passed = outcomes.reduce((sum, one) => sum + one.passed, 0);
const failed = outcomes.reduce(
  (sum, one) => sum + one.total - one.passed + (one.broken === null ? 0 : 1),
  0,
);
const skipped = outcomes.reduce((sum, one) => sum + one.skipped, 0);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = files.length > 0 && failed === 0 && passed > 0 ? 0 : 1;
