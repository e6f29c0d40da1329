// Where native services keep their data, and as whom they run.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";

/**
 * The account a service runs as; null: the one that runs this.
 * @typedef {{ name: string, uid: number, gid: number } | null} Account
 */

/**
 * PostgreSQL refuses to run as root and the others had better not: root starts
 * each as its package's own account, else as `nobody`.
 * @param {string[]} names in order of preference
 * @returns {Account}
 */
export function accountFor(names) {
  if (process.getuid?.() !== 0) return null;
  const entries = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of [...names, "nobody"]) {
    const entry = entries.find(([login]) => login === name);
    if (entry) return { name, uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw new Error("no account to run a service as: create one called nobody");
}

/** Whether the account can get at a file or folder. @param {Account} account @param {string} path */
export function canReach(account, path) {
  if (account === null) return true;
  const { uid, gid } = account;
  const test = spawnSync("/usr/bin/test", ["-x", path], {
    uid,
    gid,
    cwd: "/",
  });
  return test.status === 0;
}

/**
 * Where what is brought once for all stacks is kept.
 * @param {string | undefined} cacheDir chosen by the caller
 * @param {Account} account that must reach it
 */
export function cacheHome(cacheDir, account) {
  if (cacheDir) return cacheDir;
  // The home of root is closed to the accounts that services run as.
  if (process.getuid?.() === 0 && !canReach(account, homedir()))
    return "/var/cache/twinstream";
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(caches, "twinstream");
}

/** @param {string} path */
export function shortHash(path) {
  return createHash("sha256").update(path).digest("hex").slice(0, 8);
}

/**
 * The stack's data folder: `<dir>/data`, or, where root's checkout cannot be
 * reached by the services' accounts, a folder under /var/lib that it links to.
 * @param {string} dir the stack's folder
 * @param {Account[]} accounts
 * @param {(line: string) => void} say
 */
export function dataRoot(dir, accounts, say) {
  const link = join(dir, "data");
  // The stack's own folder may be opened (mkdtemp's is shut), those above not.
  if (accounts.some((account) => !canReach(account, dir)))
    chmodSync(dir, statSync(dir).mode | 0o011);
  const unreachable = accounts.find((account) => !canReach(account, dir));
  if (!existsSync(link)) {
    rmSync(link, { force: true }); // one that points nowhere
    if (unreachable) {
      const name = `${basename(dirname(dir)) || "stack"}-${shortHash(dir)}`;
      const place = join("/var/lib/twinstream", name);
      mkdirSync(place, { recursive: true, mode: 0o755 });
      symlinkSync(place, link);
    } else mkdirSync(link);
  }
  const root = realpathSync(link);
  const { uid } = statSync(root);
  if (uid !== (process.getuid?.() ?? uid))
    throw new Error(
      `the data in ${root} belongs to another user (uid ${uid}); start as ` +
        `that user, or move ${link} away to begin anew`,
    );
  chmodSync(root, 0o711); // each service's folder in it is its account's alone
  const shut = accounts.find((account) => !canReach(account, root));
  if (shut)
    throw new Error(
      `account ${shut.name} cannot reach the data in ${root}; let it through ` +
        `(chmod o+x on the folders above), or delete ${link} to begin anew`,
    );
  if (root !== link)
    say(`data is kept in ${root}, where the services' accounts can reach it`);
  return root;
}

/** Makes a folder that belongs to the account alone. @param {string} path @param {Account} account */
export function makeFolder(path, account) {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (account !== null && statSync(path).uid !== account.uid)
    giveTo(account, path);
}

/** Hands a file or a whole folder over to the account. @param {Account} account @param {string} path */
function giveTo(account, path) {
  if (account === null) return;
  lchownSync(path, account.uid, account.gid);
  for (const entry of readdirSync(path, {
    recursive: true,
    withFileTypes: true,
  }))
    lchownSync(join(entry.parentPath, entry.name), account.uid, account.gid);
}

/** Hands one file over. @param {Account} account @param {string} path */
export function giveFile(account, path) {
  if (account !== null) chownSync(path, account.uid, account.gid);
}
