// A child of the launcher: out of reach of the terminal's Ctrl-C, its output
// in a file, and gone when the launcher is.
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  statSync,
  truncateSync,
} from "node:fs";
import { identityOf, writeIdentity } from "./processes.mjs";

const LOG_BYTES = 20 * 2 ** 20;

/** Linux: a child gets a signal when the launcher dies in whatever way. */
const canFollowParent =
  spawnSync("setpriv", ["--pdeathsig", "TERM", "true"]).status === 0;

/**
 * @param {object} what
 * @param {string} what.file program
 * @param {string[]} what.args
 * @param {string} what.cwd
 * @param {NodeJS.ProcessEnv} what.env
 * @param {string} what.logFile appended to
 * @param {string} what.pidFile for the next launcher, if this one is killed
 * @param {NodeJS.Signals} what.stopSignal that ends it cleanly
 * @param {{ uid: number, gid: number } | null} [what.account] to run as
 * @returns {Promise<import("node:child_process").ChildProcess>} once it runs
 */
export async function launch(what) {
  const { file, args, cwd, env, account, stopSignal } = what;
  limitLog(what.logFile);
  const log = openSync(what.logFile, "a");
  const line = canFollowParent
    ? ["setpriv", "--pdeathsig", stopSignal.slice(3), "--", file, ...args]
    : [file, ...args];
  const child = spawn(line[0] ?? file, line.slice(1), {
    cwd,
    env,
    stdio: ["ignore", log, log],
    detached: true, // Ctrl-C reaches the launcher alone, which stops in order
    ...(account && { uid: account.uid, gid: account.gid }),
  });
  closeSync(log);
  child.unref(); // who waits for it polls
  await new Promise((resolve, reject) => {
    child.once("spawn", () => resolve(null));
    child.once("error", reject);
  });
  if (child.pid && identityOf(child.pid))
    writeIdentity(what.pidFile, child.pid);
  return child;
}

/**
 * Keeps a log and the one before it. The writer holds the file open, so it is
 * copied and cut rather than renamed. @param {string} file
 */
export function limitLog(file) {
  if (!existsSync(file) || statSync(file).size <= LOG_BYTES) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file);
}
