// npm test and the benchmarks, from a fresh clone on: installs, builds, runs.
// node test/start.mjs [--script bench/drain] [parts of test file names]
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installAndBuild } from "../deploy/start/install.mjs";

const checkout = fileURLToPath(new URL("..", import.meta.url));
const args = process.argv.slice(2);
const named = args[0] === "--script" ? args.splice(0, 2)[1] : "run";
const script = join(checkout, "dist/test", `${named}.js`);

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => stop.abort());

// A test whose source is gone must not run from an earlier build.
rmSync(join(checkout, "dist/test"), { recursive: true, force: true });
try {
  await installAndBuild(checkout, script, console.log, stop.signal);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
const child = spawn(
  process.execPath,
  ["--enable-source-maps", script, ...args],
  {
    cwd: checkout,
    stdio: "inherit",
  },
);
stop.signal.addEventListener("abort", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => {
  process.exitCode = signal ? 1 : (code ?? 1);
});
