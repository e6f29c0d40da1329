// npm start, in the order in which things happen. (Over 300 lines: to be read
// from top to bottom.)
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startStack } from "../stack.mjs";
import {
  allowDrills,
  endDrills,
  HOLD_LOOK_MS,
  isHeld,
} from "../stack/drills.mjs";
import { tryLock } from "../stack/lock.mjs";
import { reservePort } from "../stack/ports.mjs";
import { run, signalTree } from "../stack/processes.mjs";
import { lastLines, since } from "../stack/say.mjs";
import { brokerAccount, firstUser, fleetAccount } from "./accounts.mjs";
import { addressLines, gatewayUrl, writeStackEnv } from "./addresses.mjs";
import { installAndBuild } from "./install.mjs";
import { HELP, parseOptions } from "./options.mjs";
import { progressOf } from "./progress.mjs";
import { supervisedRole } from "./role.mjs";
import { openScreen } from "./screen.mjs";

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const PROGRESS_MS = 2_000;
/** A larger fleet shares connections, and with them the log-in of MQTT_URL. */
const OWN_LOG_INS = 500;
const UPLOAD_EVERY = "60s";
const SERVICE_RESTART_MS = 1_000;
/** npm passes on the Ctrl-C that the terminal has sent already. */
const SAME_SIGNAL_MS = 500;

/** In the order in which they are stopped, and their wished metrics ports. */
const ROLES = [
  { name: "gateway", offset: 2 },
  { name: "bridge", offset: 1 },
  { name: "worker", offset: 3 },
  { name: "processor", offset: 0 },
];

/**
 * @param {string[]} argv
 * @param {{ checkout?: string, cli?: string }} [program] another program in
 *   place of the build's, for tests
 * @returns {Promise<void>} when everything has stopped; sets process.exitCode
 */
export async function main(argv, { checkout = CHECKOUT, cli } = {}) {
  let options;
  try {
    options = parseOptions(argv);
  } catch (error) {
    console.error(`npm start: ${messageOf(error)}; see npm start -- --help`);
    process.exitCode = 2;
    return;
  }
  if (options.help) {
    console.log(HELP);
    return;
  }
  // The roles read it themselves; here it names services and ports.
  const dotEnv = join(checkout, ".env");
  if (existsSync(dotEnv)) process.loadEnvFile(dotEnv);
  const screen = openScreen(process.stdout);
  const { say } = screen;
  const dir = join(checkout, ".twinstream");
  mkdirSync(join(dir, "logs"), { recursive: true });
  const lock = tryLock(join(dir, "start.lock"));
  if ("pid" in lock) {
    console.error(
      `npm start runs already in this checkout (process ${lock.pid}): its ` +
        "addresses are in .twinstream/stack.env; Ctrl-C there stops it",
    );
    process.exitCode = 1;
    return;
  }

  /** What has been started, and how to end it; ended last first. */
  /** @type {Array<{ stop: () => Promise<void>, kill: () => void }>} */
  const running = [];
  const end = endOnSignals(say, () => {
    for (const one of running) one.kill();
    lock.release();
  });
  try {
    await start({ checkout, cli, dir, options, screen, running, end });
    await new Promise((resolve) => {
      if (end.aborted) resolve(null);
      end.addEventListener("abort", resolve);
    });
  } catch (error) {
    if (!end.aborted) {
      say(messageOf(error));
      process.exitCode = 1;
    }
  }
  const began = Date.now();
  screen.endProgress();
  if (running.length > 0) say("stopping");
  for (const one of running.reverse())
    await one.stop().catch((error) => say(messageOf(error)));
  rmSync(join(dir, "stack.env"), { force: true });
  endDrills(dir);
  lock.release();
  say(`stopped in ${since(began)}; the data stays in ${dir}`);
  process.exit();
}

/**
 * @param {object} how
 * @param {string} how.checkout
 * @param {string | undefined} how.cli
 * @param {string} how.dir
 * @param {import("./options.mjs").Options} how.options
 * @param {ReturnType<typeof openScreen>} how.screen
 * @param {Array<{ stop: () => Promise<void>, kill: () => void }>} how.running
 * @param {AbortSignal} how.end
 */
async function start({ checkout, cli, dir, options, screen, running, end }) {
  const { say } = screen;
  const began = Date.now();
  const program = cli ?? join(checkout, "dist/src/main/cli.js");
  if (!cli) await installAndBuild(checkout, program, say, end);

  const stack = await startStack({ dir, say, logIn: true, signal: end });
  running.push({
    stop: stack.stop,
    kill: () => {
      for (const { pid } of Object.values(stack.services))
        if (pid) signalTree(pid, "SIGKILL");
    },
  });
  keepAlive(stack, dir, say, end);

  const settings = { ...process.env, ...stack.env };
  await migrate(program, checkout, settings, say, end);
  await firstUser(program, checkout, settings, say, end);
  const ourBroker = stack.services.mqtt?.how !== "given";
  if (ourBroker) await brokerAccount(program, checkout, settings, end);

  const http = await reservePort(
    "gateway",
    Number(process.env.HTTP_PORT) || 8000,
    say,
  );
  const metricsBase = Number(process.env.METRICS_PORT) || 9100;
  /** @type {Record<string, number>} */
  const metrics = {};
  const roles = [];
  // The processor's port is reserved first: the others move around it.
  for (const { name, offset } of ROLES.toReversed()) {
    const { port } = await reservePort(name, metricsBase + offset, say);
    metrics[name] = port;
    const env = {
      ...settings,
      METRICS_PORT: String(port),
      HTTP_PORT: String(http.port),
    };
    const args = [program, name];
    const place = { name, args, checkout, dir, env, say };
    const role = supervisedRole({ ...place, metricsPort: port });
    await role.endLeftover();
    running.push(role);
    roles.push(role);
  }
  const [uploader] = await Promise.all([
    options.fleet ? fleetAccount(program, checkout, settings, end) : null,
    ...roles.map((role) => role.start(end)),
  ]);
  const env = {
    ...stack.env,
    HTTP_URL: gatewayUrl(settings, http.port),
    HTTP_PORT: String(http.port),
    METRICS_URL: metricsUrl(metrics.processor ?? 0),
    METRICS_URL_BRIDGE: metricsUrl(metrics.bridge ?? 0),
    METRICS_URL_GATEWAY: metricsUrl(metrics.gateway ?? 0),
    METRICS_URL_WORKER: metricsUrl(metrics.worker ?? 0),
  };
  writeStackEnv(join(dir, "stack.env"), env);
  if (settings.NODE_ENV !== "production")
    allowDrills(dir, { settings: stack.env, ...stack, metrics });

  const { devices, rate } = options;
  const asThemselves = ourBroker && devices <= OWN_LOG_INS;
  const fleet = supervisedRole({
    name: "fleet",
    args: [
      program,
      "simulate",
      "--devices",
      `${devices}`,
      "--rate",
      `${rate}`,
      ...(asThemselves
        ? ["--credentials", join(dir, "fleet-log-ins.jsonl")]
        : []),
      ...(uploader
        ? ["--upload-every", UPLOAD_EVERY, "--upload-url", env.HTTP_URL]
        : []),
      ...(uploader?.username ? ["--upload-user", uploader.username] : []),
    ],
    checkout,
    dir,
    env: { ...settings, UPLOAD_PASSWORD: uploader?.password ?? "" },
    say,
  });
  await fleet.endLeftover();
  if (options.fleet) {
    running.push(fleet);
    await fleet.start(end);
    say(
      `fleet: ${devices} devices, ${rate} messages/s between them` +
        (asThemselves ? ", each with a log-in of its own" : "") +
        (uploader ? ", a bulk upload a minute" : ""),
    );
  }
  const pages = Object.values(stack.services).flatMap(({ page }) => page ?? []);
  say(addressLines(env, pages));
  say(`all is up after ${since(began)}; Ctrl-C stops it`);
  showProgress(screen, env.METRICS_URL, end);
}

/** @param {number} port */
function metricsUrl(port) {
  return `http://127.0.0.1:${port}/metrics`;
}

/**
 * Takes a service up again that has ended unasked.
 * @param {import("../stack.mjs").Stack} stack @param {string} dir
 * @param {(line: string) => void} say @param {AbortSignal} end
 */
function keepAlive(stack, dir, say, end) {
  for (const service of Object.values(stack.services)) {
    const again = () => {
      if (end.aborted) return;
      if (isHeld(dir, service.name)) {
        setTimeout(again, HOLD_LOOK_MS);
        return;
      }
      service.start().catch((error) => {
        if (end.aborted) return;
        say(messageOf(error));
        setTimeout(again, SERVICE_RESTART_MS * 10);
      });
    };
    service.onDeath(() => {
      if (end.aborted) return;
      say(`${service.name} ended unasked (see ${service.logFile}); again`);
      setTimeout(again, SERVICE_RESTART_MS);
    });
  }
}

/**
 * @param {string} program @param {string} cwd @param {NodeJS.ProcessEnv} env
 * @param {(line: string) => void} say @param {AbortSignal} signal
 */
async function migrate(program, cwd, env, say, signal) {
  const began = Date.now();
  const options = { cwd, env, signal };
  const { code, output } = await run(
    process.execPath,
    [program, "migrate"],
    options,
  );
  signal.throwIfAborted();
  if (code !== 0)
    throw new Error(
      "migrate failed: the topics or the SQL could not be made:\n" +
        lastLines(output, 25),
    );
  say(`migrate: topics and SQL are in place after ${since(began)}`);
}

/**
 * @param {ReturnType<typeof openScreen>} screen
 * @param {string} url @param {AbortSignal} end
 */
function showProgress(screen, url, end) {
  const sample = progressOf(url);
  const show = async () => {
    const line = await sample();
    if (end.aborted) return;
    screen.progress(line);
    setTimeout(show, PROGRESS_MS);
  };
  void show();
}

/**
 * The first Ctrl-C (or SIGTERM, or the terminal's end) asks for a clean stop,
 * the second one kills.
 * @param {(line: string) => void} say @param {() => void} kill
 * @returns {AbortSignal}
 */
function endOnSignals(say, kill) {
  const end = new AbortController();
  let first = 0;
  for (const name of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
    process.on(name, () => {
      if (!first) {
        first = Date.now();
        end.abort(new Error("stopped by a signal"));
      } else if (Date.now() - first > SAME_SIGNAL_MS) {
        say("killing everything");
        kill();
        process.exit(130);
      }
    });
  return end.signal;
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
