/** Processes of a stack on this machine, by Linux's /proc: who they are, what they hold in memory, and their hard end. */
import { readdirSync, readFileSync } from "node:fs";

/** A process named so that a reused pid is never taken for it. */
export interface Identity {
  readonly pid: number;
  /** Boot id and start time. */
  readonly born: string;
}

const read = (path: string): string | null => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // it has ended
  }
};

/** The fields of /proc/<pid>/stat after the command's name. */
function statOf(pid: number): string[] | null {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ") ?? null;
}

/** Null when there is no such live process. */
export function identityOf(pid: number): Identity | null {
  const stat = statOf(pid);
  if (stat === null || stat[0] === "Z") return null;
  const boot = read("/proc/sys/kernel/random/boot_id") ?? "";
  return { pid, born: `${boot.trim()}/${stat[19]}` };
}

export const isAlive = ({ pid, born }: Identity): boolean =>
  identityOf(pid)?.born === born;

/** The live process that a pid file of `npm start` names; null when there is none. */
export function processOf(pidFile: string): Identity | null {
  const text = read(pidFile);
  if (text === null) return null;
  try {
    const { pid, born } = JSON.parse(text) as Identity;
    const identity = { pid, born };
    return isAlive(identity) ? identity : null;
  } catch {
    return null; // being written at this moment
  }
}

/** Resident memory, bytes; null when it has ended. */
export function residentBytes({ pid }: Identity): number | null {
  const [, kilobytes] =
    /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? "") ?? [];
  return kilobytes === undefined ? null : Number(kilobytes) * 1024;
}

/** Ends a process and all below it, as a crash does: a database's backends outlive their postmaster for a while. */
export function killHard(root: Identity): void {
  // Stopped first, it starts no new child behind the scan's back.
  if (!isAlive(root)) return;
  signal(root.pid, "SIGSTOP");
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = /^\d+$/.test(name) ? statOf(Number(name))?.[1] : undefined;
    if (parent === undefined) continue;
    const of = children.get(Number(parent)) ?? [];
    children.set(Number(parent), [...of, Number(name)]);
  }
  const tree = [root.pid];
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  for (const member of tree) signal(member, "SIGKILL");
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It went by itself in between.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
