// Ports of our own: free ones, remembered beside the data, and never promised
// to two stacks at once.
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLock } from "./lock.mjs";
import { isCode } from "./processes.mjs";

// Below the ephemeral range of Linux (32768) and macOS (49152), so that no
// outgoing connection takes one between two starts.
const FIRST = 20_000;
const LAST = 29_999;
/** A claim whose owner has not written it down after this is given up. */
const CLAIM_GRACE_MS = 60_000;

/** @param {number} port on 127.0.0.1 @returns {Promise<boolean>} */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** @param {string} root @returns {Record<string, number>} */
function remembered(root) {
  try {
    return JSON.parse(readFileSync(join(root, "ports.json"), "utf8"));
  } catch {
    return {};
  }
}

/** Where ports are promised, for all stacks of this user. */
function claimsFolder() {
  const user = process.getuid?.() ?? "user";
  const folder = join(tmpdir(), `twinstream-ports-${user}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid } = lstatSync(folder);
  if (typeof user === "number" && uid !== user)
    throw new Error(`${folder} belongs to another user (uid ${uid})`);
  return folder;
}

/**
 * A port for as long as this process lives: the one wished for, else the next
 * free one ten further on.
 * @param {string} name @param {number} wished
 * @param {(line: string) => void} say
 * @returns {Promise<{ port: number, release: () => void }>}
 */
export async function reservePort(name, wished, say) {
  for (let port = wished; port < 65_536; port += 10) {
    if (!(await isFree(port))) continue;
    const lock = tryLock(join(claimsFolder(), `${port}.lock`));
    if ("pid" in lock) continue;
    if (port !== wished) say(`${name}: port ${wished} is taken, using ${port}`);
    return { port, release: lock.release };
  }
  throw new Error(`${name}: no free port from ${wished} upwards`);
}

/**
 * Promises a port to the stack whose data is in `root`. A claim lasts as long
 * as that stack's own list names the port, running or not.
 * @param {number} port @param {string} root
 */
function claim(port, root) {
  const file = join(claimsFolder(), String(port));
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, root, { flag: "wx" });
      return true;
    } catch (error) {
      if (!isCode(error, "EEXIST")) throw error;
    }
    try {
      const owner = readFileSync(file, "utf8");
      if (owner === root) return true;
      const young = Date.now() - statSync(file).mtimeMs < CLAIM_GRACE_MS;
      if (young || Object.values(remembered(owner)).includes(port))
        return false;
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
    rmSync(file, { force: true });
  }
  return false;
}

/**
 * A port for each name: that of the last start where it is still free.
 * @param {string} root the stack's data folder
 * @param {string[]} names
 * @param {(line: string) => void} say
 * @returns {Promise<Record<string, number>>}
 */
export async function choosePorts(root, names, say) {
  const ports = remembered(root);
  for (const name of names) {
    const old = ports[name];
    if (old && (await isFree(old)) && claim(old, root)) continue;
    ports[name] = await freshPort(root, Object.values(ports));
    if (old) say(`${name}: port ${old} is taken now, using ${ports[name]}`);
  }
  writeFileSync(join(root, "ports.json"), JSON.stringify(ports) + "\n");
  return ports;
}

/** @param {string} root @param {number[]} taken */
async function freshPort(root, taken) {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (taken.includes(port) || !(await isFree(port))) continue;
    if (claim(port, root)) return port;
  }
  throw new Error(`no free port between ${FIRST} and ${LAST}`);
}
