/** `npm start` as a user meets it: everything comes up, restarts what dies, stops cleanly, and goes on with its data. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
} from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type Certificates,
  withCertificates,
} from "../support/certificates.js";
import { logIn } from "../support/device-log-in.js";
import { CLI, npmStart, stackEnv } from "../support/npm-start.js";
import { runCommand } from "../support/roles.js";
import { until, within } from "../support/wait.js";

const test = suite("npm start");
const storedRows = (url: string): Promise<number> =>
  count(url, "telemetry_data");

async function count(url: string, from: string): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<{ n: string }>(
      `SELECT count(*) AS n FROM ${from}`,
    );
    return Number(rows[0]!.n);
  } finally {
    await client.end();
  }
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(url)).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** The status that an HTTPS server answers whose certificate this authority signed. */
const statusOf = (url: string, ca: Buffer): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const request = https.get(url, { ca }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", reject);
  });

test("brings everything up with a fleet, restarts a killed role, stops, goes on with its data over HTTPS, and passes its drills", () =>
  withCertificates(startsAndStops));

async function startsAndStops({ ca, server }: Certificates): Promise<void> {
  const checkout = await mkdtemp(join(tmpdir(), "twinstream-start-"));
  let first = npmStart(checkout, ["--devices", "20", "--rate", "100"]);
  try {
    await first.says("all is up", 90_000);
    const env = await stackEnv(checkout);
    const database = env.get("DATABASE_URL")!;
    await until(async () => (await storedRows(database)) > 500, {
      withinMs: 20_000,
      what: "the fleet's readings in the database",
    });
    await first.says("points/s", 10_000);
    assert.match(first.output(), "user admin with password admin123");
    await until(
      async () =>
        (await count(
          database,
          "claims WHERE state = 'done' AND user_id = 'fleet' AND readings_stored >= 1200 AND readings_failed = 0",
        )) > 0,
      { withinMs: 30_000, what: "the fleet's first upload to be stored" },
    );
    const base = env.get("HTTP_URL")!;
    assert.match(first.output(), `${base}/docs`);
    assert.is((await fetch(`${base}/docs`)).status, 200);
    assert.is((await fetch(`${base}/devices`)).status, 401);
    const login = await fetch(`${base}/api/v1/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"username":"admin","password":"admin123"}',
    });
    const { access_token: token } = (await login.json()) as {
      access_token: string;
    };
    const devices = await fetch(`${base}/devices`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const { devices: online } = (await devices.json()) as {
      devices: unknown[];
    };
    assert.is(online.length, 20);

    // Every device of the fleet logs in as itself; nobody comes in without a log-in.
    const logIns = join(checkout, ".twinstream/fleet-log-ins.jsonl");
    const known = await readFile(logIns, "utf8");
    assert.is(known.trim().split("\n").length, 20);
    assert.is(statSync(logIns).mode & 0o077, 0);
    const mqttUrl = env.get("MQTT_URL")!;
    const nobody = { username: "", password: "", clientId: "nobody" };
    assert.type(await logIn(mqttUrl, nobody), "number");

    const refused = npmStart(checkout, []);
    assert.is(await within(10_000, refused.ended, "the refusal"), 1);
    assert.match(refused.output(), "runs already in this checkout");

    const metrics = env.get("METRICS_URL")!;
    const started = await metric(metrics, "process_start_time_seconds");
    killRole(checkout, "processor");
    await until(
      async () =>
        (await metric(metrics, "process_start_time_seconds").catch(
          () => started,
        )) > started,
      { withinMs: 30_000, what: "the processor to be started again" },
    );
    const before = await storedRows(database);
    await until(async () => (await storedRows(database)) > before, {
      withinMs: 30_000,
      what: "rows after the restart",
    });

    assert.is(await first.stop(), 0, first.output());
    assert.match(first.output(), "the data stays in");
    assert.not(existsSync(join(checkout, ".twinstream/stack.env")));

    const stopped = new Date().toISOString();
    first = npmStart(checkout, ["--devices", "20", "--rate", "100"], {
      TLS_CERT: server.cert,
      TLS_KEY: server.key,
      NODE_EXTRA_CA_CERTS: ca,
    });
    await first.says("all is up", 90_000);
    const now = await stackEnv(checkout);
    const again = now.get("DATABASE_URL")!;
    const secure = now.get("HTTP_URL")!;
    assert.match(secure, /^https:/);
    assert.match(first.output(), `${secure}/docs`);
    assert.is(await statusOf(`${secure}/docs`, await readFile(ca)), 200);
    assert.ok(
      (await storedRows(again)) >= before,
      "the data is that of the first",
    );
    const after = await storedRows(again);
    await until(async () => (await storedRows(again)) > after + 100, {
      withinMs: 30_000,
      what: "readings of a fleet that comes back with the log-ins it had",
    });
    assert.is(await readFile(logIns, "utf8"), known);
    await until(
      async () =>
        (await count(
          again,
          `claims WHERE state = 'done' AND user_id = 'fleet' AND received_at > '${stopped}'`,
        )) > 0,
      { withinMs: 30_000, what: "an upload of the fleet over HTTPS" },
    );

    await drilled(checkout, ["processor"]);
    await drilled(checkout, ["redis", "--empty"]);
    assert.match(first.output(), /redis ended unasked/);
    const stranger = await drill(checkout, ["redis"], {
      REDIS_URL: "redis://127.0.0.1:1",
    });
    assert.is(stranger.code, 2);
    assert.match(stranger.output, "REDIS_URL is not that of the stack");
    assert.is(await first.stop(), 0, first.output());
  } finally {
    first.kill();
    await first.ended;
    await rm(checkout, { recursive: true, force: true });
  }
}

/** Breaks something of the stack under a small load. */
function drill(
  checkout: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
) {
  const load = "--devices 40 --rate 200 --steady 1s --down 1s --json";
  const stack = ["--stack", join(checkout, ".twinstream")];
  return runCommand(["drill", ...args, ...stack, ...load.split(" ")], env);
}

async function drilled(
  checkout: string,
  args: readonly string[],
): Promise<void> {
  const { code, output } = await within(
    90_000,
    drill(checkout, args),
    `the drill ${args.join(" ")}`,
  );
  assert.is(code, 0, output);
  const json = output.split("\n").find((line) => line.startsWith("{"));
  const result = JSON.parse(json ?? "{}") as {
    passed: boolean;
    sent: number;
    stored: number;
    firstRowSeconds: number;
    peakBytes: Record<string, number>;
  };
  assert.ok(result.passed && result.stored > 200, output);
  assert.ok(result.sent > result.stored, "hellos and poison are among them");
  assert.ok(result.firstRowSeconds >= 1 && result.peakBytes["processor"]);
}

/** Ends a role as a crash would: found by its command line, in this checkout alone. */
function killRole(checkout: string, role: string): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (!line.includes(CLI) || !line.includes(role)) continue;
      if (readlinkSync(`/proc/${pid}/cwd`).endsWith(checkout))
        process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      // A process that ended between being listed and being read.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ESRCH") throw error;
    }
  }
}

test("a bad option is said in one line, and help teaches", async () => {
  const checkout = await mkdtemp(join(tmpdir(), "twinstream-start-"));
  try {
    const bad = npmStart(checkout, ["--devises", "3"]);
    assert.is(await within(10_000, bad.ended, "the refusal"), 2);
    assert.match(bad.output(), "--devises");
    const help = npmStart(checkout, ["--help"]);
    assert.is(await within(10_000, help.ended, "the help"), 0);
    assert.match(help.output(), "--no-fleet");
  } finally {
    await rm(checkout, { recursive: true, force: true });
  }
});

test.run();
