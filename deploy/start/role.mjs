// One of our own processes: started, awaited, started again when it ends.
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HOLD_LOOK_MS, isHeld } from "../stack/drills.mjs";
import { launch, limitLog } from "../stack/launch.mjs";
import {
  endLeftover,
  endProcess,
  identityOf,
  isAlive,
  signalTree,
} from "../stack/processes.mjs";
import { logTail, since } from "../stack/say.mjs";

const READY_MS = 90_000;
/** Longer than a role's own deadline for a clean end. */
const STOP_MS = 30_000;
const BACK_OFF_MS = [1_000, 2_000, 5_000, 10_000, 30_000];
/** One that lived this long begins its back-off anew. */
const SETTLED_MS = 60_000;
/** One that ends so often before it was ever ready will not make it. */
const FIRST_TRIES = 3;

/**
 * @param {object} what
 * @param {string} what.name of role and log
 * @param {string[]} what.args for node: the program and its arguments
 * @param {string} what.checkout
 * @param {string} what.dir the stack's folder
 * @param {NodeJS.ProcessEnv} what.env
 * @param {number} [what.metricsPort] that answers /ready
 * @param {(line: string) => void} what.say
 */
export function supervisedRole(what) {
  const { name, args, checkout, dir, env, metricsPort, say } = what;
  const logFile = join(dir, "logs", `${name}.log`);
  const pidFile = join(dir, `${name}.pid`);
  /** @type {import("../stack/processes.mjs").Identity | null} */
  let identity = null;
  /** @type {"new" | "starting" | "ready" | "stopping"} */
  let state = "new";
  let deaths = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let restart;
  const logWatch = setInterval(() => limitLog(logFile), 30_000);
  logWatch.unref();

  async function run() {
    const began = Date.now();
    const child = await launch({
      file: process.execPath,
      args,
      cwd: checkout,
      env,
      logFile,
      pidFile,
      stopSignal: "SIGTERM",
    });
    identity = child.pid ? identityOf(child.pid) : null;
    child.once("exit", (code, signal) => {
      if (state === "stopping") return;
      if (Date.now() - began > SETTLED_MS) deaths = 0;
      const wait = BACK_OFF_MS[deaths++] ?? BACK_OFF_MS.at(-1) ?? 0;
      say(
        `${name} ended (${signal ?? `exit ${code}`}; see ${logFile}); ` +
          `starting it again in ${wait / 1000} s`,
      );
      restart = setTimeout(again, wait);
    });
  }

  function again() {
    if (isHeld(dir, name)) {
      restart = setTimeout(again, HOLD_LOOK_MS);
      return;
    }
    run().catch((/** @type {Error} */ error) => {
      say(`${name} could not be started: ${error.message}`);
    });
  }

  /** @returns {Promise<string | null>} why it is not ready; null: it is */
  async function notReady() {
    try {
      const url = `http://127.0.0.1:${metricsPort}/ready`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
      const reason = await answer.text();
      return answer.ok ? null : `it says: ${reason.slice(0, 500)}`;
    } catch {
      return `nothing answers on port ${metricsPort}`;
    }
  }

  return {
    name,
    /** Ends what a killed launcher has left. */
    async endLeftover() {
      const pid = await endLeftover(pidFile, "SIGTERM");
      if (pid) say(`${name}: ended process ${pid} of a start that was killed`);
    },
    /** @param {AbortSignal} signal gives up */
    async start(signal) {
      const began = Date.now();
      state = "starting";
      try {
        renameSync(logFile, `${logFile}.1`);
      } catch {
        // the first start has no log yet
      }
      await run();
      while (metricsPort !== undefined) {
        signal.throwIfAborted();
        const reason = await notReady();
        if (reason === null) break;
        const late = Date.now() - began > READY_MS;
        if (late || deaths >= FIRST_TRIES)
          throw new Error(
            `${name} does not become ready (${reason}); the end of ` +
              `${logFile}:\n${logTail(logFile)}`,
          );
        await sleep(100);
      }
      state = "ready";
      if (metricsPort !== undefined)
        say(`${name}: ready after ${since(began)}`);
    },
    async stop() {
      const began = Date.now();
      const ran = state !== "new";
      state = "stopping";
      clearTimeout(restart);
      clearInterval(logWatch);
      if (!identity) return;
      const alive = isAlive(identity);
      const clean = await endProcess(identity, "SIGTERM", STOP_MS);
      rmSync(pidFile, { force: true });
      if (!ran || !alive) return;
      say(
        clean
          ? `${name}: stopped in ${since(began)}`
          : `${name}: did not stop within ${STOP_MS / 1000} s, killed; the ` +
              `end of ${logFile}:\n${logTail(logFile)}`,
      );
    },
    kill() {
      state = "stopping";
      clearTimeout(restart);
      if (identity && isAlive(identity)) signalTree(identity.pid, "SIGKILL");
    },
  };
}
