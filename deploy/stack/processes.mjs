// Processes of ours: who is who after a restart, and how to end them surely.
import { spawn } from "node:child_process";
import {
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A process named so that a reused pid is never taken for it.
 * @typedef {{ pid: number, born: string }} Identity
 */

/** The fields of /proc/<pid>/stat after the command's name. @param {number} pid */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}

/**
 * Start time of a live process, unique within a boot; null when there is none.
 * Without /proc (macOS) the pid alone must do.
 * @param {number} pid
 */
function bornAt(pid) {
  const stat = statOf(pid);
  if (stat) {
    if (stat[0] === "Z") return null;
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.trim()}/${stat[19]}`;
  }
  try {
    process.kill(pid, 0);
    return process.platform === "linux" ? null : "alive";
  } catch (error) {
    return isCode(error, "EPERM") && process.platform !== "linux"
      ? "alive"
      : null;
  }
}

/** @param {unknown} error @param {string} code */
export function isCode(error, code) {
  return error instanceof Error && "code" in error && error.code === code;
}

/** @param {number} pid @returns {Identity | null} */
export function identityOf(pid) {
  const born = bornAt(pid);
  return born === null ? null : { pid, born };
}

/** @param {Identity | null} identity */
export function isAlive(identity) {
  return identity !== null && bornAt(identity.pid) === identity.born;
}

/** @param {string} file @returns {Identity | null} */
export function readIdentity(file) {
  try {
    const { pid, born } = JSON.parse(readFileSync(file, "utf8"));
    return typeof pid === "number" && typeof born === "string"
      ? { pid, born }
      : null;
  } catch {
    return null;
  }
}

/** @param {string} file @param {number} pid */
export function writeIdentity(file, pid) {
  writeFileSync(file, JSON.stringify(identityOf(pid)) + "\n");
}

/** The process and all below it, parents first. @param {number} pid */
function treeOf(pid) {
  const tree = [pid];
  if (process.platform !== "linux") return tree;
  /** @type {Map<number, number[]>} */
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    const parent = /^\d+$/.test(name) && statOf(Number(name))?.[1];
    if (!parent) continue;
    const siblings = children.get(Number(parent)) ?? [];
    children.set(Number(parent), [...siblings, Number(name)]);
  }
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  return tree;
}

/**
 * Whether a live process works in the folder (Linux).
 * @param {string} folder
 */
export function isWorkplace(folder) {
  return readdirSync("/proc").some((name) => {
    try {
      // A zombie has no working directory any more.
      return readlinkSync(`/proc/${name}/cwd`) === folder;
    } catch {
      return false; // no process, or another user's
    }
  });
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalOne(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isCode(error, "ESRCH")) throw error;
  }
}

/**
 * Signals a process and everything below it: postgres' backends neither stop
 * nor die with their postmaster at once.
 * @param {number} pid @param {NodeJS.Signals} signal
 * @returns {Identity[]} those that were signalled
 */
export function signalTree(pid, signal) {
  // Stopped first, a parent starts no new child behind the scan's back.
  if (signal === "SIGKILL") signalOne(pid, "SIGSTOP");
  const members = treeOf(pid)
    .map(identityOf)
    .filter((member) => member !== null);
  for (const member of members) signalOne(member.pid, signal);
  return members;
}

/**
 * Waits until none of them lives.
 * @param {Identity[]} members @param {number} deadlineMs
 * @returns {Promise<boolean>} false when the deadline passed first
 */
export async function waitGone(members, deadlineMs) {
  const until = Date.now() + deadlineMs;
  while (members.some(isAlive)) {
    if (Date.now() > until) return false;
    await sleep(20);
  }
  return true;
}

/**
 * Asks a process to end, then makes it.
 * @param {Identity} identity @param {NodeJS.Signals} signal
 * @param {number} deadlineMs before SIGKILL
 * @returns {Promise<boolean>} true when it went by itself
 */
export async function endProcess(identity, signal, deadlineMs) {
  if (!isAlive(identity)) return true;
  signalOne(identity.pid, signal);
  // One that a fault test has frozen hears nothing before this.
  signalTree(identity.pid, "SIGCONT");
  if (await waitGone([identity], deadlineMs)) return true;
  await waitGone(signalTree(identity.pid, "SIGKILL"), 5_000);
  return false;
}

/**
 * Ends what a launcher that was killed has left behind, if it is surely ours.
 * @param {string} pidFile @param {NodeJS.Signals} signal
 * @returns {Promise<number | null>} its pid, when there was one
 */
export async function endLeftover(pidFile, signal) {
  const identity = readIdentity(pidFile);
  const alive = isAlive(identity);
  if (identity && alive) await endProcess(identity, signal, 20_000);
  rmSync(pidFile, { force: true });
  return identity && alive ? identity.pid : null;
}

/**
 * Runs a command to its end.
 * @param {string} file @param {string[]} args
 * @param {{ input?: string, timeoutMs?: number, env?: NodeJS.ProcessEnv,
 *   cwd?: string, uid?: number, gid?: number, signal?: AbortSignal }} [options]
 * @returns {Promise<{ code: number | null, output: string, stdout: string }>}
 *   code null: it could not be started, was killed, or took too long
 */
export function run(file, args, options = {}) {
  const { input = "", timeoutMs, ...rest } = options;
  return new Promise((resolve) => {
    const child = spawn(file, args, { ...rest, timeout: timeoutMs });
    let output = "";
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      output += chunk;
    });
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => {
      resolve({ code: null, output: `${output}${error.message}`, stdout });
    });
    child.on("close", (code) => resolve({ code, output, stdout }));
    child.stdin.on("error", () => {}); // it may not read what it is given
    child.stdin.end(input);
  });
}
