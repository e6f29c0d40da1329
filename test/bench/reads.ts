/**
 * How fast the gateway answers small reads with log-in and rate limits on: wrk against a gateway process, and in turn against
 * the least that answers the same questions from the same Redis (bare-reads.ts). Prints requests/s, p95, CPU a request and
 * the ratio to the bare one, medians over the rounds; fails below the floors.
 *
 *   npm run bench:reads -- --seconds 5 --rounds 3 --connections 64
 *   npm run bench:reads -- --only "last state" --profile
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { freePort, runCommand, startRole } from "../support/roles.js";
import { withOwnStack } from "../support/services.js";
import { openBench } from "./frame/bench.js";
import { median } from "./frame/measured.js";
import { cpuSeconds } from "./frame/processes.js";
import { shownDevice } from "./frame/shown.js";

const bench = openBench("reads", {
  seconds: "5",
  rounds: "3",
  connections: "64",
  devices: "1000",
  only: "",
  node: "",
});
const { say, settings } = bench;
const devices = bench.number("devices");
const rounds = bench.number("rounds");

interface Read {
  readonly name: string;
  readonly path: string;
  /** Whether the figure of 10,000 a second is meant for it. */
  readonly small: boolean;
  /** The least ratio to the bare server, in requests/s or in CPU a request: work beside it spoils either, seldom both. */
  readonly floor: number;
}
const READS: readonly Read[] = [
  { name: "last state", path: "/devices/bench-%d", small: true, floor: 0.3 },
  {
    name: "history, 10 messages",
    path: "/devices/bench-%d/history?limit=10",
    small: true,
    floor: 0.3,
  },
  {
    name: "10 devices online",
    path: "/devices?limit=10",
    small: true,
    floor: 0.3,
  },
  {
    name: "1,000 devices online",
    path: "/devices?limit=1000",
    small: false,
    floor: 0.8,
  },
];
const GOAL = { requestsPerSecond: 10_000, p95Ms: 50 };

const HISTORY = 50;
/** Seconds after which wrk takes an answer for lost. */
const LONGEST_S = 30;
/** Code that has just begun is several times slower, and no round should have it. */
const WARM_UP_S = 3;
const PASSWORD = randomBytes(12).toString("hex");

interface Measured {
  readonly requestsPerSecond: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Microseconds of user and system time in the server's process. */
  readonly cpuUs: number;
}

/** Everything that a program printed; null when there is no such program. */
function outputOf(
  program: string,
  args: readonly string[],
): Promise<string | null> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += String(chunk)));
  return new Promise((done, fail) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? done(null) : fail(error),
    );
    child.on("close", () => done(output));
  });
}

/** Microseconds of CPU that a process has used. */
const cpuOf = (pid: number): number => cpuSeconds(pid) * 1e6;

async function ask(
  server: { base: string; pid: number; token: string },
  path: string,
  seconds: number,
): Promise<Measured> {
  const before = cpuOf(server.pid);
  const output = await outputOf("wrk", [
    "--threads=1",
    `--connections=${settings.connections}`,
    `--duration=${seconds}s`,
    // A slow answer is a slow answer, and shows in the percentiles.
    `--timeout=${LONGEST_S}s`,
    `--script=${resolve("test/bench/reads.lua")}`,
    server.base,
    "--",
    server.token,
    path,
    String(devices),
  ]);
  const line = output?.trim().split("\n").at(-1);
  if (line === undefined || !line.startsWith("{"))
    throw new Error(`wrk did not end well:\n${output}`);
  const { requests, failed, ...rest } = JSON.parse(line) as Record<
    "requests" | "seconds" | "p50" | "p95" | "p99" | "failed",
    number
  >;
  if (failed > 0 || requests === 0)
    throw new Error(`${path}: ${failed} of ${requests} requests failed`);
  return {
    ...rest,
    requestsPerSecond: requests / rest.seconds,
    cpuUs: (cpuOf(server.pid) - before) / requests,
  };
}

/** Devices that are online, each with a last state and a history. */
async function fill(url: string): Promise<void> {
  const view = createDeviceView({
    url,
    historySeconds: 18_000,
    clock: Date.now,
  });
  const nowS = Date.now() / 1000;
  const changes = Array.from({ length: devices }, (_, n) => {
    const messages = Array.from({ length: HISTORY }, (__, i) => {
      const timestamp = nowS - HISTORY + i;
      const payload = `{"schema":"v1","ts":${timestamp},"points":[{"name":"temp","t":"float","v":${(n + i) / 8},"u":"°C"},{"name":"on","t":"bool","v":true}]}`;
      return { timestamp, payload };
    });
    return shownDevice(n, `bench-${n}`, messages, nowS);
  });
  await view.write({ changes, publish: false, mark: null });
  await view.close();
}

async function logIn(base: string): Promise<string> {
  const answer = await fetch(`${base}/api/v1/auth/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ username: "bench", password: PASSWORD }),
  });
  if (answer.status !== 200) throw new Error(await answer.text());
  return ((await answer.json()) as { access_token: string }).access_token;
}

/** Median of the rounds, each by the one beside it. */
const ratio = (ours: readonly number[], theirs: readonly number[]): number =>
  median(ours.map((one, n) => one / theirs[n]!));

if ((await outputOf("wrk", ["--version"])) === null) {
  console.error(
    "this benchmark needs wrk (https://github.com/wg/wrk): apt-get install wrk, or brew install wrk",
  );
  process.exit(2);
}
await withOwnStack(["kafka", "redis", "postgres"], async (stack) => {
  const port = await freePort();
  const env: Record<string, string> = {
    ...stack.env,
    AUTH: "on",
    JWT_SECRET: randomBytes(32).toString("hex"),
    // On, and out of the way of one address with one user.
    RATE_LIMIT_IP: "1000000000",
    RATE_LIMIT_USER: "1000000000",
    // Nothing refreshes the devices while it runs.
    DEVICE_OFFLINE_TIMEOUT: "3600",
    HTTP_PORT: String(port),
    LOG_LEVEL: "warn",
  };
  await fill(env["REDIS_URL"]!);
  const run = async (args: readonly string[], input = ""): Promise<void> => {
    const { code, output } = await runCommand(args, env, input);
    if (code !== 0) throw new Error(output);
  };
  await run(["migrate"]);
  await run(["users", "add", "bench", "--password-stdin"], PASSWORD);
  const gateway = await startRole("gateway", env, {
    node: settings.node === "" ? [] : settings.node.split(" "),
  });
  const bare = await startRole("bare", env, {
    script: fileURLToPath(new URL("bare-reads.js", import.meta.url)),
  });
  await Promise.all([gateway.ready(), bare.ready()]);
  const base = `http://127.0.0.1:${port}`;
  const servers = {
    gateway: { base, pid: gateway.pid, token: await logIn(base) },
    bare: { base: bare.metricsUrl, pid: bare.pid, token: "-" },
  };
  for (const read of READS.filter(({ name }) => name.includes(settings.only))) {
    const gatewayRounds: Measured[] = [];
    const bareRounds: Measured[] = [];
    for (const server of [servers.bare, servers.gateway])
      await ask(server, read.path, WARM_UP_S);
    for (let n = 0; n < rounds; n++) {
      const seconds = Number(settings.seconds);
      bareRounds.push(await ask(servers.bare, read.path, seconds));
      gatewayRounds.push(await ask(servers.gateway, read.path, seconds));
    }
    const of = read.name;
    const ratesOf = (list: readonly Measured[]) =>
      list.map((one) => one.requestsPerSecond);
    const cpuOfAll = (list: readonly Measured[]) =>
      list.map((one) => one.cpuUs);
    // Work beside it spoils either ratio, seldom both: only both below the floor fail.
    const slow =
      ratio(ratesOf(gatewayRounds), ratesOf(bareRounds)) < read.floor &&
      ratio(cpuOfAll(bareRounds), cpuOfAll(gatewayRounds)) < read.floor;
    bench.figure({
      of,
      what: "requests/s",
      less: false,
      runs: ratesOf(gatewayRounds),
      bare: ratesOf(bareRounds),
      ...(read.small ? { goal: GOAL.requestsPerSecond } : {}),
      ...(slow ? { floorRatio: read.floor } : {}),
    });
    bench.figure({
      of,
      what: "ms, p95",
      less: true,
      runs: gatewayRounds.map((one) => one.p95),
      bare: bareRounds.map((one) => one.p95),
      ...(read.small ? { goal: GOAL.p95Ms } : {}),
    });
    bench.figure({
      of,
      what: "µs of CPU a request",
      less: true,
      runs: cpuOfAll(gatewayRounds),
      bare: cpuOfAll(bareRounds),
      ...(slow ? { floorRatio: 1 / read.floor } : {}),
    });
  }
  await Promise.all([gateway.stop(), bare.stop()]);
  say(gateway.output());
  bench.end();
});
