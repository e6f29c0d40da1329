/**
 * Loaded into a role before its own code (`node --import`): on SIGWINCH (which ends nothing, and comes to a process without a terminal from nowhere else) it collects garbage and writes the bytes of the heap
 * that are left into `$HEAP_FOLDER/<pid>`.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fileURLToPath } from "node:url";

export const HEAP_AFTER_GC = fileURLToPath(import.meta.url);

const folder = process.env["HEAP_FOLDER"];
if (folder !== undefined) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  process.on("SIGWINCH", () => {
    collect();
    const file = join(folder, String(process.pid));
    writeFileSync(`${file}.new`, String(process.memoryUsage().heapUsed));
    renameSync(`${file}.new`, file);
  });
}
