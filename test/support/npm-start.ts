/** `npm start` in a folder of its own, with this build's command line. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { until, within } from "./wait.js";

export const CLI = new URL("../../src/main/cli.js", import.meta.url).pathname;
const MAIN = pathToFileURL(resolve("deploy/start/main.mjs")).href;

export function npmStart(
  checkout: string,
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
) {
  const program = `import(${JSON.stringify(MAIN)}).then(({ main }) =>
    main(${JSON.stringify(args)}, ${JSON.stringify({ checkout, cli: CLI })}))`;
  const child = spawn(process.execPath, ["-e", program], {
    cwd: checkout,
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      TWINSTREAM_SERVICES: "native",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | null>((done) => child.on("close", done));
  return {
    output: () => output,
    ended,
    async says(text: string, withinMs: number): Promise<void> {
      await until(() => output.includes(text), {
        withinMs,
        what: `"${text}" in:\n${output}`,
      });
    },
    async stop(): Promise<number | null> {
      child.kill("SIGINT");
      return within(30_000, ended, "npm start to stop");
    },
    kill: () => child.kill("SIGKILL"),
  };
}

/** What it tells a shell: the addresses of everything, by the settings' names. */
export async function stackEnv(checkout: string): Promise<Map<string, string>> {
  const text = await readFile(join(checkout, ".twinstream/stack.env"), "utf8");
  const lines = [...text.matchAll(/^([A-Z_]+)=(.*)$/gm)];
  return new Map(
    lines.map(([, name, value]) => [name!, value!.replaceAll("'", "")]),
  );
}
