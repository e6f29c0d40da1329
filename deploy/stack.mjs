// The backing services of one stack: found, started, stopped. `npm start` and
// the test runner both use this; it needs Node alone.
import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  dockerAnswers,
  dockerPortNames,
  dockerServices,
  stopLeftContainers,
} from "./compose/docker.mjs";
import { kafka } from "./native/kafka.mjs";
import { minio } from "./native/minio.mjs";
import { mqtt } from "./native/mosquitto.mjs";
import { installPackages } from "./native/packages.mjs";
import { accountFor, dataRoot, shortHash } from "./native/place.mjs";
import { postgres } from "./native/postgres.mjs";
import { redis } from "./native/redis.mjs";
import { nativeService, pidFileOf } from "./native/service.mjs";
import { givenService } from "./stack/given.mjs";
import { tryLock } from "./stack/lock.mjs";
import { choosePorts } from "./stack/ports.mjs";
import { endLeftover } from "./stack/processes.mjs";

/** A new service: its file in native/, a line here, one in compose/docker.mjs. */
const DEFINITIONS = [kafka, redis, postgres, mqtt, minio];

/**
 * One running service.
 * @typedef {object} Service
 * @property {string} name
 * @property {string} url the value of its setting
 * @property {Record<string, string>} more settings that go with it
 * @property {"given" | "docker" | "native"} how it was found
 * @property {number | null} pid of a running native server
 * @property {number[]} ports on 127.0.0.1 that are its own
 * @property {string} [logFile] of a native server
 * @property {string} [pidFile] of a native server
 * @property {string} [folder] with a native server's data
 * @property {string} [page] for a browser
 * @property {() => Promise<void>} start again, on the same port and data;
 *   returns when it answers
 * @property {() => Promise<void>} stop cleanly
 * @property {(signal?: NodeJS.Signals) => Promise<void>} kill sends a signal
 *   (SIGKILL unless named) to the server and its children
 * @property {() => Promise<void>} wipe stops it and deletes its data
 * @property {(listener: () => void) => void} onDeath when a native server ends
 *   without having been asked to
 */

/**
 * @typedef {object} Stack
 * @property {Record<string, string>} env addresses by their settings' names
 * @property {Record<string, Service>} services by name
 * @property {(options?: { wipe?: boolean }) => Promise<void>} stop what was
 *   started, last first; with `wipe` its data goes too
 */

/**
 * Brings up backing services. Each is found in this order: its URL in `env`,
 * else a Docker engine that answers, else a native server (packages that are
 * missing are installed). TWINSTREAM_SERVICES=native leaves Docker out.
 * When one fails, those that were started are stopped again.
 *
 * @param {object} options
 * @param {string} options.dir the stack's folder (data, ports, logs); the same
 *   folder continues with the same data, and has one stack at a time
 * @param {string[]} [options.services] kafka, redis, postgres, mqtt unless
 *   named, and minio where STORAGE_TYPE=minio is set, or not set and Docker
 *   answers
 * @param {Record<string, string | undefined>} [options.env] where given URLs
 *   are looked up; process.env unless told
 * @param {(line: string) => void} [options.say] hears each step
 * @param {boolean} [options.logIn] the MQTT broker asks for a log-in, and knows
 *   two: those of MQTT_URL and MQTT_ADMIN_URL; otherwise it is open
 * @param {Record<string, (ports: Record<string, number>) => string>}
 *   [options.lines] by a native service's name: what else its settings file
 *   ends with; the ports are its own by name
 * @param {boolean} [options.fresh] deletes what an earlier start has left
 * @param {string} [options.cacheDir] for Kafka's jars
 * @param {AbortSignal} [options.signal] gives the start up
 * @returns {Promise<Stack>}
 */
export async function startStack({
  dir,
  services: wanted,
  env = process.env,
  say = () => {},
  logIn = false,
  lines = {},
  fresh = false,
  cacheDir,
  signal,
}) {
  let definitions = chosen(wanted, env, false);
  mkdirSync(join(dir, "logs"), { recursive: true });
  const home = realpathSync(dir);
  const giveUp = new AbortController();
  const abort = () => giveUp.abort(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", abort);

  /** @type {Service[]} */
  const services = [];
  /** @type {Array<() => void>} */
  const releasers = [];
  /** @param {{ wipe?: boolean }} [options] */
  async function stop({ wipe = false } = {}) {
    for (const service of services.toReversed()) {
      await service.stop().catch((/** @type {Error} */ error) => {
        say(`${service.name}: could not be stopped: ${error.message}`);
      });
      if (wipe && service.how !== "given") await service.wipe();
    }
    for (const release of releasers.splice(0).reverse()) release();
    if (wipe) removeData(home);
  }

  try {
    const docker =
      definitions.some(({ setting }) => !env[setting]) &&
      env.TWINSTREAM_SERVICES !== "native" &&
      (await dockerAnswers(say));
    definitions = chosen(wanted, env, docker);
    const given = definitions.filter(({ setting }) => env[setting]);
    const ours = definitions.filter(({ setting }) => !env[setting]);
    for (const one of given)
      services.push(givenService(one, env[one.setting] ?? "", say));
    if (!docker) await installMissing(ours, cacheDir, say, giveUp.signal);
    const accounts = docker ? [] : ours.map((one) => accountFor(one.accounts));
    const root = dataRoot(home, accounts, say);
    const lock = tryLock(join(root, "stack.lock"));
    if ("pid" in lock)
      throw new Error(
        `process ${lock.pid} runs the stack in ${home} already; use that ` +
          "one, or stop it first",
      );
    releasers.push(lock.release);
    const make = docker ? byDocker : natively;
    services.push(...(await make({ root, ours, home })));
    if (fresh)
      for (const one of services) if (one.how !== "given") await one.wipe();
    await startAll(services, giveUp);
  } catch (error) {
    await stop();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }

  /** @typedef {{ root: string, ours: typeof DEFINITIONS, home: string }} Place */
  async function byDocker(/** @type {Place} */ { root, ours, home }) {
    const names = ours.map(({ name }) => name);
    const project = `twinstream-${shortHash(home)}`;
    await stopLeftContainers(project);
    const ports = await choosePorts(root, dockerPortNames(names), say);
    const place = { project, ports, root, logIn };
    return dockerServices(names, place, say, giveUp.signal);
  }

  async function natively(/** @type {Place} */ { root, ours, home }) {
    for (const { name, stopSignal } of ours) {
      const pid = await endLeftover(pidFileOf(root, name), stopSignal);
      if (pid) say(`${name}: ended process ${pid} of a start that was killed`);
    }
    const names = ours.flatMap(({ portNames }) => portNames);
    const ports = await choosePorts(root, names, say);
    return ours.map((definition) => {
      const { name, portNames, accounts } = definition;
      const context = {
        root,
        folder: join(root, name),
        ports: Object.fromEntries(
          portNames.map((port) => [port, ports[port] ?? 0]),
        ),
        account: accountFor(accounts),
        cacheDir,
        logIn,
        lines: lines[name] ?? (() => ""),
        signal: giveUp.signal,
        say,
      };
      const logFile = join(home, "logs", `${name}.log`);
      return nativeService(definition, context, logFile);
    });
  }

  return {
    env: Object.assign(
      {},
      ...definitions.map(({ name, setting }) => {
        const service = services.find((one) => one.name === name);
        return { [setting]: service?.url ?? "", ...service?.more };
      }),
    ),
    services: Object.fromEntries(services.map((one) => [one.name, one])),
    stop,
  };
}

/**
 * The services to bring up: those named, else all but an optional one that the
 * environment does not ask for; where it says nothing, Docker has it too.
 * @param {string[] | undefined} wanted
 * @param {Record<string, string | undefined>} env @param {boolean} docker
 */
function chosen(wanted, env, docker) {
  for (const name of wanted ?? [])
    if (!DEFINITIONS.some((one) => one.name === name))
      throw new Error(`no service is called ${name}`);
  return DEFINITIONS.filter(({ name, setting, optional }) => {
    if (wanted) return wanted.includes(name);
    if (!optional) return true;
    const value = env[optional.setting];
    return value ? value === optional.value : docker && !env[setting];
  });
}

/**
 * Starts all at once; the first failure gives the others up.
 * @param {Service[]} services @param {AbortController} giveUp
 */
async function startAll(services, giveUp) {
  const outcomes = await Promise.allSettled(
    services.map(async (service) => {
      try {
        await service.start();
      } catch (error) {
        giveUp.abort(error);
        throw error;
      }
    }),
  );
  // The reason of the abort is the first failure, or the caller's own.
  if (outcomes.some(({ status }) => status === "rejected"))
    throw giveUp.signal.reason;
}

/** The data folder itself, and where it is a link, what it links to. */
function removeData(/** @type {string} */ home) {
  const link = join(home, "data");
  rmSync(realpathSync(link), { recursive: true, force: true });
  rmSync(link, { force: true });
}

/**
 * @param {typeof DEFINITIONS} definitions
 * @param {string | undefined} cacheDir
 * @param {(line: string) => void} say @param {AbortSignal} signal
 */
async function installMissing(definitions, cacheDir, say, signal) {
  const missing = await Promise.all(
    definitions.map((one) => {
      return one.missing({ account: accountFor(one.accounts), cacheDir });
    }),
  );
  await installPackages([...new Set(missing.flat())], say, signal);
}
