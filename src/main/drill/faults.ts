/** The faults, each with its end: what is broken is made whole again however the drill ends. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Link } from "../../simulator/link.js";
import { isAlive, killHard, processOf } from "./processes.js";
import type { DrillStack, Target } from "./stack.js";

export interface Fault {
  /** Answers what it did, in words. @throws Void when it had no effect */
  make(): Promise<string>;
  /** Resolves once whole again; to be called in every case, and harmless to repeat. */
  heal(): Promise<void>;
}

/** The fault never bit: the drill shows nothing. */
export class Void extends Error {
  override readonly name = "Void";
}

const LOOK_MS = 20;
const DEATH_MS = 10_000;
/** Recovery of a database and the back-off of who starts it again are part of it. */
const BIRTH_MS = 90_000;

async function until(
  met: () => boolean,
  withinMs: number,
  what: string,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!met()) {
    if (performance.now() > deadline)
      throw new Void(`waited ${withinMs / 1000} s in vain for ${what}`);
    await pause(LOOK_MS);
  }
}

/** @param empty whether its data goes too (Redis) */
export function ending(
  stack: DrillStack,
  target: Target,
  empty: boolean,
): Fault {
  const { name, pidFile, folder } = target;
  const victim = processOf(pidFile);
  let release: (() => void) | null = null;
  return {
    async make() {
      if (victim === null || !isAlive(victim))
        throw new Void(`${name} does not run: look at what npm start says`);
      release = stack.hold(target);
      killHard(victim);
      await until(() => !isAlive(victim), DEATH_MS, `${name} to die`);
      if (empty && folder !== null)
        rmSync(join(folder, "appendonlydir"), { recursive: true, force: true });
      return `kill -9 of ${name} (process ${victim.pid})${empty ? ", and its data removed" : ""}`;
    },
    async heal() {
      if (release === null) return;
      release();
      release = null;
      await until(
        () => processOf(pidFile) !== null,
        BIRTH_MS,
        `${name} to be started again`,
      );
    },
  };
}

export function cutting(link: Link, connections: number): Fault {
  return {
    async make() {
      const cut = link.cut();
      if (cut < connections)
        throw new Void(`only ${cut} of ${connections} connections were there`);
      return `${cut} connections cut`;
    },
    async heal() {
      link.restore();
    },
  };
}
