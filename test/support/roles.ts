/** The program's own processes, started as a user would, for tests that kill them. */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { until } from "./wait.js";

export interface RoleProcess {
  readonly pid: number;
  readonly metricsUrl: string;
  /** Everything it printed. */
  output(): string;
  /** Value of a metric, summed over its labels; 0 while the process does not answer. */
  metric(name: string, labels?: string): Promise<number>;
  /** Waits until `/ready` says yes. */
  ready(withinMs?: number): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** SIGTERM and wait. */
  stop(): Promise<number | NodeJS.Signals>;
  /** SIGKILL and wait. */
  kill(): Promise<void>;
}

const CLI = fileURLToPath(new URL("../../src/main/cli.js", import.meta.url));
/** Options of Node's own that the files for containers start a role with. */
export const NODE_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  processor: ["--max-semi-space-size=32"],
};

/**
 * @param options `script`: another composition root than the command line, for tests that plant a fault; `node`: options of
 * Node's own, in place of those it is usually started with.
 */
export async function startRole(
  role: string,
  env: Readonly<Record<string, string>>,
  options: {
    args?: readonly string[];
    script?: string;
    node?: readonly string[];
  } = {},
): Promise<RoleProcess> {
  const port = await freePort();
  const child = spawn(
    process.execPath,
    [
      "--enable-source-maps",
      ...(options.node ?? NODE_OPTIONS[role] ?? []),
      options.script ?? CLI,
      role,
      ...(options.args ?? []),
    ],
    {
      env: {
        PATH: process.env["PATH"],
        LOG_LEVEL: "info",
        // Tests of log-in and limits say otherwise; all others come from one address, many times a second.
        AUTH: "off",
        RATE_LIMIT_IP: "0",
        ...env,
        METRICS_PORT: String(port),
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  return roleProcess(child, role, `http://127.0.0.1:${port}`);
}

const alive = new Set<ChildProcess>();
// Whatever ends this process ends them: a role without its services only tries again and again.
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

function roleProcess(
  child: ChildProcess,
  role: string,
  metricsUrl: string,
): RoleProcess {
  let output = "";
  const read = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout?.on("data", read);
  child.stderr?.on("data", read);
  let gone = false;
  alive.add(child);
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.on("close", (code, signal) => {
      gone = true;
      alive.delete(child);
      resolve(code ?? signal ?? 0);
    }),
  );
  const get = async (path: string): Promise<Response | null> => {
    try {
      return await fetch(metricsUrl + path);
    } catch {
      return null; // Not listening yet, or gone: the caller waits or gives up.
    }
  };
  return {
    pid: child.pid!,
    metricsUrl,
    ended,
    output: () => output,
    async metric(name, labels = "") {
      const text = (await (await get("/metrics"))?.text()) ?? "";
      let sum = 0;
      for (const line of text.split("\n"))
        if (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
          if (line.includes(labels)) sum += Number(line.split(" ").at(-1));
      return sum;
    },
    async ready(withinMs = 90_000) {
      await until(
        async () => {
          if (gone) throw new Error(`${role} ended:\n${output}`);
          return (await get("/ready"))?.status === 200;
        },
        { withinMs, what: `${role} to be ready` },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${output}`);
      });
    },
    signal: (signal) => child.kill(signal),
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Runs a command of the program to its end, with something on its standard input. */
export async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = "",
): Promise<{ code: number; output: string }> {
  const child = spawn(
    process.execPath,
    ["--enable-source-maps", CLI, ...args],
    {
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  child.stdin.end(input);
  const role = roleProcess(child, args.join(" "), "http://127.0.0.1:1");
  const code = await role.ended;
  return { code: Number(code), output: role.output() };
}

/** Below the ports that outgoing connections take (from 32,768 on) and those of stacks (from 20,000 on). */
const PORTS = { first: 10_000, count: 10_000 };
/** Given out by this process, whether listened on yet or not. */
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1000; tries++) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no free port from ${PORTS.first} on`);
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
