/** Weighs the roles of a soak again and again: resident memory, heap after garbage was collected, open files; and their slopes. */
import { readdirSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { residentBytes } from "../../src/main/drill/processes.js";
import { until } from "../support/wait.js";
import type { Ground } from "./ground.js";

const MIB = 2 ** 20;
const ROLES = ["bridge", "processor", "gateway", "worker"] as const;
const GC_MS = 10_000;

export interface Weight {
  readonly name: string;
  readonly pid: number;
  /** Since the start of the soak. */
  readonly seconds: number;
  readonly rssMiB: number;
  /** Null where it did not answer in time. */
  readonly heapMiB: number | null;
  readonly files: number;
}

/** Of one role: growth an hour, over all of its processes, each against its own mean. */
export interface Slopes {
  readonly name: string;
  readonly samples: number;
  readonly rssMiBPerHour: number;
  readonly heapMiBPerHour: number;
  readonly filesPerHour: number;
  /**
   * Of the last third's least over the first's, of the process that was weighed most often: a store that stands still has
   * requests and their connections gather for a while, what is leaked is there at every moment.
   */
  readonly heapGrownMiB: number;
  readonly filesGrown: number;
}

/** @param folder where the roles write their heap, see heap-after-gc.ts */
export async function weigh(
  ground: Ground,
  folder: string,
  seconds: number,
): Promise<Weight[]> {
  const names = ROLES.flatMap((role) => ground.roles.names(role));
  const weights = await Promise.all(
    names.map(async (name): Promise<Weight | null> => {
      const { pid } = ground.roles.process(name);
      const rss = residentBytes({ pid, born: "" });
      if (rss === null) return null;
      const heap = await heapOf(ground, name, join(folder, String(pid)));
      const files = openFiles(pid);
      return files === null
        ? null
        : {
            name,
            pid,
            seconds,
            rssMiB: rss / MIB,
            heapMiB: heap === null ? null : heap / MIB,
            files,
          };
    }),
  );
  return weights.filter((one) => one !== null);
}

async function heapOf(
  ground: Ground,
  name: string,
  file: string,
): Promise<number | null> {
  await rm(file, { force: true });
  ground.roles.process(name).signal("SIGWINCH");
  try {
    return await until(() => readFile(file, "utf8").then(Number, () => null), {
      withinMs: GC_MS,
      what: `the heap of ${name}`,
    });
  } catch {
    return null; // It is frozen, or has just gone.
  }
}

function openFiles(pid: number): number | null {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return null;
  }
}

/** Least squares within each process: what a restart changes at once is no growth. Until `from` seconds they warm up. */
export function slopesOf(weights: readonly Weight[], from: number): Slopes[] {
  const warm = weights.filter(({ seconds }) => seconds >= from);
  return [...new Set(warm.map(({ name }) => name))].map((name) => {
    const mine = warm.filter((one) => one.name === name);
    const pids = [...new Set(mine.map(({ pid }) => pid))];
    const ofPid = (pid: number) => mine.filter((one) => one.pid === pid);
    const perHour = (of: (one: Weight) => number | null): number => {
      let xy = 0;
      let xx = 0;
      for (const pid of pids) {
        const points = ofPid(pid).flatMap((one) => {
          const y = of(one);
          return y === null ? [] : [{ x: one.seconds, y }];
        });
        const meanX = mean(points.map(({ x }) => x));
        const meanY = mean(points.map(({ y }) => y));
        for (const { x, y } of points) {
          xy += (x - meanX) * (y - meanY);
          xx += (x - meanX) ** 2;
        }
      }
      return xx === 0 ? 0 : (xy / xx) * 3600;
    };
    const longest = pids.map(ofPid).toSorted((a, b) => b.length - a.length)[0]!;
    const third = Math.max(1, Math.floor(longest.length / 3));
    const grown = (of: (one: Weight) => number | null): number => {
      const values = longest.map(of).filter((value) => value !== null);
      if (values.length === 0) return 0;
      return (
        Math.min(...values.slice(-third)) - Math.min(...values.slice(0, third))
      );
    };
    return {
      name,
      samples: mine.length,
      rssMiBPerHour: perHour(({ rssMiB }) => rssMiB),
      heapMiBPerHour: perHour(({ heapMiB }) => heapMiB),
      filesPerHour: perHour(({ files }) => files),
      heapGrownMiB: grown(({ heapMiB }) => heapMiB),
      filesGrown: grown(({ files }) => files),
    };
  });
}

const mean = (values: readonly number[]): number =>
  values.length === 0
    ? 0
    : values.reduce((sum, value) => sum + value, 0) / values.length;
