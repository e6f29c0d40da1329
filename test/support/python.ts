/** Python programs for tests: an environment of their own for each set of packages, made once and kept beside what else is brought. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const INSTALL_MS = 300_000;

export interface PythonPackages {
  /** Folder of the environment; another set of versions is another name. */
  readonly name: string;
  /** Pinned, as pip takes them. */
  readonly packages: readonly string[];
}

/** Folder of its programs (`python` among them), or why it cannot be had. */
export async function pythonWith({
  name,
  packages,
}: PythonPackages): Promise<{ bin: string } | { whyNot: string }> {
  const { withLock } = await load<{
    withLock<T>(
      file: string,
      work: () => Promise<T>,
      onWait: () => void,
    ): Promise<T>;
  }>("deploy/stack/lock.mjs");
  const { cacheHome } = await load<{
    cacheHome(cacheDir: undefined, account: null): string;
  }>("deploy/native/place.mjs");
  const folder = join(cacheHome(undefined, null), name);
  await mkdir(join(folder, ".."), { recursive: true });
  const whyNot = await withLock(
    `${folder}.lock`,
    () => install(folder, packages),
    () => undefined,
  );
  return whyNot === null ? { bin: join(folder, "bin") } : { whyNot };
}

const load = async <T>(path: string): Promise<T> =>
  (await import(pathToFileURL(resolve(path)).href)) as T;

async function install(
  folder: string,
  packages: readonly string[],
): Promise<string | null> {
  const complete = join(folder, "complete");
  if (existsSync(complete)) return null;
  await rm(folder, { recursive: true, force: true });
  const pip = "-m pip install --quiet --disable-pip-version-check".split(" ");
  const steps: [string, string[]][] = [
    ["python3", ["-m", "venv", folder]],
    [join(folder, "bin/python"), [...pip, ...packages]],
  ];
  for (const [file, args] of steps) {
    const { code, output } = await runProgram(file, args, {
      withinMs: INSTALL_MS,
    });
    if (code !== 0)
      return `${file} ${args.join(" ")}: ${output.trim().split("\n").at(-1)}`;
  }
  await writeFile(complete, "");
  return null;
}

/** Output and exit code; code null: it took too long, or was not there. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: {
    readonly withinMs: number;
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    /** Called with all the output so far; true ends the program, and its code is then 0. */
    readonly enough?: (output: string) => boolean;
  },
): Promise<{ code: number | null; output: string }> {
  return new Promise((done) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.withinMs,
      killSignal: "SIGKILL",
    });
    let output = "";
    let satisfied = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (satisfied || !options.enough?.(output)) return;
        satisfied = true;
        child.kill("SIGKILL");
      });
    child.on("error", (error) => done({ code: null, output: error.message }));
    child.on("close", (code) => done({ code: satisfied ? 0 : code, output }));
  });
}
