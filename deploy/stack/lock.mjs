// One holder at a time, across processes; a dead holder's lock is free.
import { linkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { identityOf, isAlive, isCode, readIdentity } from "./processes.mjs";

/**
 * @param {string} file
 * @returns {{ pid: number } | { release: () => void }} the holder's pid, or
 *   the lock
 */
export function tryLock(file) {
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(identityOf(process.pid)) + "\n");
  try {
    for (;;) {
      try {
        linkSync(mine, file);
        return { release: () => rmSync(file, { force: true }) };
      } catch (error) {
        if (!isCode(error, "EEXIST")) throw error;
      }
      const holder = readIdentity(file);
      if (holder && isAlive(holder)) return { pid: holder.pid };
      takeAway(file, `${mine}.stale`);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * Moves a dead holder's lock aside; puts it back when, in the instant between,
 * a live one had taken its place.
 * @param {string} file @param {string} aside
 */
function takeAway(file, aside) {
  try {
    renameSync(file, aside);
    if (isAlive(readIdentity(aside))) linkSync(aside, file);
  } catch (error) {
    if (!isCode(error, "ENOENT") && !isCode(error, "EEXIST")) throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/**
 * Does work under the lock, waiting for its holder.
 * @template T
 * @param {string} file @param {() => Promise<T>} work
 * @param {(pid: number) => void} onWait called once when it must wait
 */
export async function withLock(file, work, onWait) {
  let lock = tryLock(file);
  if ("pid" in lock) onWait(lock.pid);
  while (!("release" in lock)) {
    await sleep(200);
    lock = tryLock(file);
  }
  try {
    return await work();
  } finally {
    lock.release();
  }
}
