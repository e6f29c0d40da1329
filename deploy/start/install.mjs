// npm packages and the build, when they are missing or older than their source.
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { run } from "../stack/processes.mjs";
import { lastLines, since } from "../stack/say.mjs";

/** Last change of a file, or of the newest below a folder; ms, 0: none. @param {string} path */
function changedAt(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  let newest = stat.mtimeMs;
  if (stat.isDirectory())
    for (const name of readdirSync(path))
      newest = Math.max(newest, changedAt(join(path, name)));
  return newest;
}

/**
 * @param {string} checkout @param {string} cli the file that a build makes
 * @param {(line: string) => void} say @param {AbortSignal} signal
 */
export async function installAndBuild(checkout, cli, say, signal) {
  /** @param {string} doing @param {string[]} args */
  async function npm(doing, args) {
    say(`${doing} (npm ${args.join(" ")})`);
    const began = Date.now();
    const script = process.env.npm_execpath ?? "";
    const [file, ...line] = /\.c?js$/.test(script)
      ? [process.execPath, script, ...args]
      : ["npm", ...args];
    const options = { cwd: checkout, signal };
    const { code, output } = await run(file ?? "npm", line, options);
    signal.throwIfAborted();
    if (code !== 0)
      throw new Error(
        `npm ${args.join(" ")} failed; correct what it says and start ` +
          `again:\n${lastLines(output, 25)}`,
      );
    say(`${doing}: done in ${since(began)}`);
  }

  const lock = changedAt(join(checkout, "package-lock.json"));
  // npm writes this one when it has finished.
  const installed = join(checkout, "node_modules", ".package-lock.json");
  if (changedAt(installed) < lock || !existsSync(installed))
    await npm("installing the npm packages", [
      "ci",
      "--include=dev",
      "--no-audit",
      "--no-fund",
    ]);

  const sources = ["src", "actors", "test", "tsconfig.json"];
  const newest = Math.max(
    ...sources.map((name) => changedAt(join(checkout, name))),
  );
  if (changedAt(cli) >= newest) return;
  try {
    await npm("building", ["run", "build"]);
  } catch (error) {
    // tsc writes its output even where it finds errors.
    rmSync(cli, { force: true });
    throw error;
  }
}
