/**
 * How fast the gateway answers small reads with log-in and rate limits on: wrk against a gateway process, and in turn against
 * the least that answers the same questions from the same Redis (bare-reads.ts). Prints requests/s, p95, CPU a request and
 * the ratio to the bare one, medians over the rounds; fails below the floors. Above 300 lines, as one program to be read
 * from top to bottom.
 *
 *   npm run bench:reads -- --seconds 5 --rounds 3 --connections 64
 *   npm run bench:reads -- --only "last state" --profile
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { freePort, runCommand, startRole } from "../support/roles.js";
import { withOwnStack } from "../support/services.js";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    connections: { type: "string", default: "64" },
    devices: { type: "string", default: "1000" },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
  },
});
const devices = Number(values.devices);
const rounds = Number(values.rounds);
const say = (line: string): void => {
  if (!values.json) console.log(line);
};

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
/** Kernel ticks a second in /proc, on every Linux that Node runs on. */
const TICKS = 100;
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
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .split(") ")[1]!
    .split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
}

async function ask(
  server: { base: string; pid: number; token: string },
  path: string,
  seconds: number,
): Promise<Measured> {
  const before = cpuOf(server.pid);
  const output = await outputOf("wrk", [
    "--threads=1",
    `--connections=${values.connections}`,
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
    const deviceId = `bench-${n}`;
    const messages = Array.from({ length: HISTORY }, (__, i) => {
      const timestamp = nowS - HISTORY + i;
      const payload = `{"schema":"v1","ts":${timestamp},"points":[{"name":"temp","t":"float","v":${(n + i) / 8},"u":"°C"},{"name":"on","t":"bool","v":true}]}`;
      return {
        score: timestamp,
        payload,
        member: `{"device_id":"${deviceId}","payload":${payload},"timestamp":${timestamp}}`,
      };
    });
    const newest = messages.at(-1)!;
    return {
      device: {
        tenant: "default",
        deviceId,
        address: deviceId,
        site: null,
        equipmentId: n,
      },
      history: messages.map(({ score, member }) => ({ score, member })),
      publish: [],
      last: {
        orderUs: newest.score * 1e6,
        offset: n,
        timeUs: Math.round(newest.score * 1e6),
        payload: newest.payload,
      },
      seenUs: Math.round(nowS * 1e6),
      gone: null,
    };
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

const medianOf = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[list.length >> 1]!;
const medians = (list: readonly Measured[]): Measured => {
  const of = (name: keyof Measured) => medianOf(list.map((one) => one[name]));
  const [p50, p95, p99] = [of("p50"), of("p95"), of("p99")];
  return {
    requestsPerSecond: of("requestsPerSecond"),
    p50,
    p95,
    p99,
    cpuUs: of("cpuUs"),
  };
};
const whole = (n: number): string => Math.round(n).toLocaleString("en");
const hundredth = (n: number): number => Math.round(n * 100) / 100;
const tenth = (n: number): number => Math.round(n * 10) / 10;

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
    node: values.profile ? ["--cpu-prof"] : [],
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
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "?"}, Node ${process.version}`;
  say(
    `${machine}; ${values.connections} connections, ${rounds} rounds of ${values.seconds} s in turn, ${devices} devices online`,
  );
  const results = [];
  for (const read of READS.filter(({ name }) => name.includes(values.only))) {
    const gatewayRounds: Measured[] = [];
    const bareRounds: Measured[] = [];
    for (const server of [servers.bare, servers.gateway])
      await ask(server, read.path, 1);
    for (let n = 0; n < rounds; n++) {
      const seconds = Number(values.seconds);
      bareRounds.push(await ask(servers.bare, read.path, seconds));
      gatewayRounds.push(await ask(servers.gateway, read.path, seconds));
    }
    const found = medians(gatewayRounds);
    const least = medians(bareRounds);
    const ratios = gatewayRounds.map(
      (one, n) => one.requestsPerSecond / bareRounds[n]!.requestsPerSecond,
    );
    const ratio = hundredth(medianOf(ratios));
    const cpuRatio = hundredth(least.cpuUs / found.cpuUs);
    const met =
      found.requestsPerSecond >= GOAL.requestsPerSecond &&
      found.p95 <= GOAL.p95Ms;
    results.push({
      read: read.name,
      gateway: found,
      bare: least,
      ratio,
      cpuRatio,
      floor: read.floor,
      ...(read.small && { goal: GOAL, met }),
    });
    const goal = read.small
      ? `goal ${whole(GOAL.requestsPerSecond)}/s at p95 ≤ ${GOAL.p95Ms} ms: ${met ? "met" : "NOT met"}; `
      : "";
    say(
      `${read.name}: ${whole(found.requestsPerSecond)}/s, p50 ${tenth(found.p50)} ms, p95 ${tenth(found.p95)} ms, p99 ${tenth(found.p99)} ms, ${tenth(found.cpuUs)} µs CPU a request; ` +
        `bare ${whole(least.requestsPerSecond)}/s, p95 ${tenth(least.p95)} ms, ${tenth(least.cpuUs)} µs; ratio ${ratio} (${ratios.map((one) => one.toFixed(2)).join(" ")}), in CPU ${cpuRatio}; ${goal}floor ${read.floor}`,
    );
  }
  if (values.json) console.log(JSON.stringify({ machine, results }));
  await Promise.all([gateway.stop(), bare.stop()]);
  say(gateway.output());
  const below = results.filter(
    (one) => one.ratio < one.floor && one.cpuRatio < one.floor,
  );
  if (below.length > 0) {
    console.error(
      `below the floor: ${below.map(({ read, ratio, cpuRatio, floor }) => `${read} at ${ratio} of the bare server, ${cpuRatio} in CPU, floor ${floor}`).join("; ")}`,
    );
    process.exitCode = 1;
  }
});
