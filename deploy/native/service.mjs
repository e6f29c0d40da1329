// A server of our own, from its definition (kafka.mjs, redis.mjs, …): started,
// watched, stopped, killed and wiped.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launch } from "../stack/launch.mjs";
import {
  endProcess,
  identityOf,
  isAlive,
  signalTree,
  waitGone,
} from "../stack/processes.mjs";
import { logTail, since } from "../stack/say.mjs";
import { makeFolder } from "./place.mjs";

/**
 * What a definition is told.
 * @typedef {object} Context
 * @property {string} root the stack's data folder
 * @property {string} folder this service's own folder in it
 * @property {Record<string, number>} ports by the definition's port names
 * @property {import("./place.mjs").Account} account to run as
 * @property {string | undefined} cacheDir for what is downloaded once
 * @property {boolean} logIn whether the MQTT broker asks for a log-in
 * @property {(ports: Record<string, number>) => string} lines what else its
 *   settings file ends with
 * @property {AbortSignal} signal aborted when the start is given up
 * @property {(line: string) => void} say
 */

/**
 * One backing service, run natively.
 * @typedef {object} Definition
 * @property {string} name
 * @property {"KAFKA_BROKERS" | "REDIS_URL" | "DATABASE_URL" | "MQTT_URL" |
 *   "MINIO_ENDPOINT"} setting that holds its address
 * @property {{ setting: string, value: string }} [optional] the setting, and
 *   its value, with which it is among a stack's services unasked
 * @property {string[]} portNames the first is the service's own
 * @property {string[]} accounts to run as when root starts it
 * @property {NodeJS.Signals} stopSignal that ends it cleanly
 * @property {(context: Pick<Context, "account" | "cacheDir">) =>
 *   Promise<string[]>} missing Debian packages it lacks
 * @property {(context: Pick<Context, "account" | "cacheDir">) =>
 *   string | null} [whyNot] why it cannot run on this machine, packages or not
 * @property {(context: Context) => Promise<string>} prepare makes its folder
 *   ready; answers what will run, in words
 * @property {(context: Context) => Promise<{ file: string, args: string[],
 *   env?: Record<string, string> }>} command
 * @property {(context: Pick<Context, "root" | "ports" | "logIn">) => string} url
 * @property {(context: Pick<Context, "root" | "ports" | "logIn">) =>
 *   Record<string, string>} [more] settings that go with the address
 * @property {(context: Context) => Promise<boolean>} answers
 */

const READY_MS = 90_000;
const STOP_MS = 30_000;
/**
 * @param {Definition} definition @param {Context} context
 * @param {string} logFile
 */
export function nativeService(definition, context, logFile) {
  const { name, stopSignal } = definition;
  const { say, account, folder } = context;
  const pidFile = pidFileOf(context.root, name);
  /** @type {import("../stack/processes.mjs").Identity | null} */
  let identity = null;
  let wanted = false;
  /** @type {Array<() => void>} */
  const listeners = [];

  async function run() {
    const { file, args, env = {} } = await definition.command(context);
    const base = { PATH: process.env.PATH, LANG: "C.UTF-8", HOME: folder };
    const child = await launch({
      file,
      args,
      cwd: folder,
      env: { ...base, ...env },
      logFile,
      pidFile,
      stopSignal,
      account,
    });
    identity = child.pid ? identityOf(child.pid) : null;
    child.once("exit", () => {
      if (wanted) for (const listener of listeners) listener();
    });
  }

  /** @param {number} began */
  async function untilReady(began) {
    while (!(await definition.answers(context))) {
      context.signal.throwIfAborted();
      if (!isAlive(identity)) throw failure("ended while it was starting");
      if (Date.now() - began > READY_MS)
        throw failure(`does not answer after ${READY_MS / 1000} s`);
      await sleep(50);
    }
  }

  /** @param {string} what */
  function failure(what) {
    return new Error(
      `${name} ${what}; the end of ${logFile}:\n${logTail(logFile)}`,
    );
  }

  async function stop() {
    wanted = false;
    if (!identity) return;
    const began = Date.now();
    const clean = await endProcess(identity, stopSignal, STOP_MS);
    identity = null;
    rmSync(pidFile, { force: true });
    say(
      clean
        ? `${name}: stopped in ${since(began)}`
        : `${name}: did not stop within ${STOP_MS / 1000} s, killed`,
    );
  }

  return {
    name,
    how: /** @type {const} */ ("native"),
    ports: Object.values(context.ports),
    logFile,
    pidFile,
    folder,
    get url() {
      return definition.url(context);
    },
    get more() {
      return definition.more?.(context) ?? {};
    },
    /** Of the running server, else null. */
    get pid() {
      return isAlive(identity) ? (identity?.pid ?? null) : null;
    },
    async start() {
      if (isAlive(identity)) return;
      const began = Date.now();
      makeFolder(folder, account);
      const what = await definition.prepare(context);
      context.signal.throwIfAborted();
      const started = Date.now();
      await run();
      try {
        await untilReady(started);
      } catch (error) {
        await stop();
        throw error;
      }
      wanted = true;
      const where = `127.0.0.1:${context.ports[definition.portNames[0] ?? ""]}`;
      say(`${name}: ${what} answers on ${where} after ${since(began)}`);
    },
    stop,
    /**
     * For fault tests: reaches the server's children too, and returns when
     * those that must die of it are dead.
     * @param {NodeJS.Signals} [signal]
     */
    async kill(signal = "SIGKILL") {
      if (!identity) return;
      wanted = false;
      const members = signalTree(identity.pid, signal);
      if (signal === "SIGKILL") await waitGone(members, 10_000);
      if (signal === "SIGCONT") wanted = true;
    },
    /** Stops it and deletes its data; its port and log-in stay the same. */
    async wipe() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
    /** Calls back when the server ends unasked. @param {() => void} listener */
    onDeath(listener) {
      listeners.push(listener);
    },
  };
}

/** @param {string} root the stack's data folder @param {string} name */
export function pidFileOf(root, name) {
  return join(root, `${name}.pid`);
}
