/** CPU and memory of processes, as Linux tells. */
import { readdirSync, readFileSync } from "node:fs";

/** Linux counts CPU in hundredths of a second. */
const TICKS = 100;

/** State, parent, and the CPU seconds (user and system; of ended children too) of a process; null once it is gone. */
function standing(pid: number): { parent: number; cpu: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(") ") + 2).split(" ");
    const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number);
    return {
      parent: Number(fields[1]),
      cpu: (utime! + stime! + cutime! + cstime!) / TICKS,
    };
  } catch {
    return null;
  }
}

/** CPU seconds so far of a process and all it started. */
export function cpuSeconds(root: number): number {
  const all = new Map<number, { parent: number; cpu: number }>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const one = Number.isInteger(pid) ? standing(pid) : null;
    if (one !== null) all.set(pid, one);
  }
  let cpu = 0;
  for (const [pid, one] of all) {
    let at = pid;
    while (at !== root && at > 1) at = all.get(at)?.parent ?? 0;
    if (at === root) cpu += one.cpu;
  }
  return cpu;
}

/** Resident memory at its most, MiB. */
export function peakMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024;
}
