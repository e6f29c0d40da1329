// A stack that may be drilled says so, and leaves what a drill has ended down
// for as long as the drill asks and lives. `twinstream drill` reads and writes
// these files (src/main/drill/stack.ts).
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { identityOf, isAlive, readIdentity } from "./processes.mjs";

/** How often a held process looks whether it may start. */
export const HOLD_LOOK_MS = 100;

/**
 * @param {string} dir the stack's folder
 * @param {object} stack
 * @param {Record<string, string>} stack.settings its own addresses
 * @param {import("../stack.mjs").Stack["services"]} stack.services
 * @param {Record<string, number>} stack.metrics ports of the roles
 */
export function allowDrills(dir, { settings, services, metrics }) {
  const marker = {
    launcher: identityOf(process.pid),
    settings,
    services: Object.fromEntries(
      Object.values(services).map(({ name, how, pidFile, folder }) => [
        name,
        { how, pidFile, folder },
      ]),
    ),
    roles: Object.fromEntries(
      Object.entries(metrics).map(([name, port]) => [
        name,
        { pidFile: join(dir, `${name}.pid`), metricsPort: port },
      ]),
    ),
  };
  const file = markerOf(dir);
  rmSync(`${file}.new`, { force: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(marker)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** @param {string} dir the stack's folder */
export function endDrills(dir) {
  rmSync(markerOf(dir), { force: true });
}

/**
 * Whether a drill wants this process to stay down. A drill that has ended,
 * however it ended, holds nothing.
 * @param {string} dir the stack's folder @param {string} name
 */
export function isHeld(dir, name) {
  const holder = readIdentity(join(dir, `drill-hold-${name}.json`));
  return holder !== null && isAlive(holder);
}

/** @param {string} dir */
function markerOf(dir) {
  return join(dir, "drill.json");
}
