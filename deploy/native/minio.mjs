// MinIO, the object store of uploads: this machine's own, else built by Go.
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { withLock } from "../stack/lock.mjs";
import { run } from "../stack/processes.mjs";
import { lastLines, since } from "../stack/say.mjs";
import { cacheHome, canReach } from "./place.mjs";
import { findProgram } from "./programs.mjs";

const MODULE = "github.com/minio/minio@latest";
const USER = "twinstream";
const BUILD_MS = 15 * 60_000;
/** Where Go's own installer puts it, which not every PATH has. */
const GO = "/usr/local/go/bin/go";

/** @type {import("./service.mjs").Definition} */
export const minio = {
  name: "minio",
  setting: "MINIO_ENDPOINT",
  optional: { setting: "STORAGE_TYPE", value: "minio" },
  portNames: ["minio"],
  accounts: ["minio-user", "nobody"],
  stopSignal: "SIGTERM",

  // Debian has no package of it, and a Go too old to build it.
  async missing() {
    return [];
  },

  whyNot(where) {
    return programFor(where) || findProgram("minio") || goProgram()
      ? null
      : "there is no program minio here, and no Go to build it";
  },

  async prepare(context) {
    await bring(context);
    return "MinIO";
  },

  async command(context) {
    const { folder, ports, root } = context;
    return {
      file: programFor(context) ?? "minio",
      args: [
        "server",
        join(folder, "objects"),
        `--address=127.0.0.1:${ports.minio}`,
      ],
      env: {
        MINIO_ROOT_USER: USER,
        MINIO_ROOT_PASSWORD: password(root),
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
      },
    };
  },

  url: addressOf,
  more: ({ root }) => ({
    STORAGE_TYPE: "minio",
    MINIO_ACCESS_KEY: USER,
    MINIO_SECRET_KEY: password(root),
  }),

  /** While it starts it answers 503; then, since this names no keys, 403. */
  async answers({ ports }) {
    try {
      const { status } = await fetch(addressOf({ ports }), {
        signal: AbortSignal.timeout(1_000),
      });
      return status === 403;
    } catch {
      return false;
    }
  },
};

/** @param {Pick<import("./service.mjs").Context, "ports">} context */
function addressOf({ ports }) {
  return `http://127.0.0.1:${ports.minio}`;
}

/** Kept outside the service's folder, so that it outlives a wipe. @param {string} root */
function password(root) {
  const file = join(root, "minio.password");
  if (!existsSync(file))
    writeFileSync(file, randomBytes(16).toString("hex"), { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

/** @typedef {Pick<import("./service.mjs").Context, "account" | "cacheDir">} Where */

/**
 * This machine's own where the service's account reaches it, else one of ours.
 * @param {Where} where @returns {string | null}
 */
function programFor(where) {
  const own = findProgram("minio");
  if (own && canReach(where.account, own)) return own;
  const ours = join(folderOf(where), "minio");
  return existsSync(ours) ? ours : null;
}

function goProgram() {
  return findProgram("go") ?? (existsSync(GO) ? GO : null);
}

/** @param {Where} where */
function folderOf({ account, cacheDir }) {
  return join(cacheHome(cacheDir, account), "minio");
}

/**
 * Brings the program, once for all stacks: a copy of this machine's own, if
 * that is shut to the service's account (in root's home, say), else by Go.
 * @param {import("./service.mjs").Context} context
 */
async function bring(context) {
  const { say, signal } = context;
  if (programFor(context)) return;
  const own = findProgram("minio");
  const go = goProgram();
  if (!own && !go)
    throw new Error(
      "minio: there is no program minio here, and no Go to build it; install " +
        "one of them, start a Docker engine, give a store by MINIO_ENDPOINT, " +
        "or leave STORAGE_TYPE at filesystem",
    );
  const folder = folderOf(context);
  mkdirSync(join(folder, ".."), { recursive: true, mode: 0o755 });
  await withLock(
    `${folder}.lock`,
    () => make(folder),
    (pid) => say(`minio: waiting for process ${pid}, which is building it`),
  );

  /** @param {string} folder */
  async function make(folder) {
    if (existsSync(folder)) return;
    const fresh = `${folder}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { mode: 0o755 });
    if (own) copyFileSync(own, join(fresh, "minio"));
    else await goInstall(fresh);
    chmodSync(join(fresh, "minio"), 0o755);
    renameSync(fresh, folder);
  }

  /** @param {string} fresh folder */
  async function goInstall(fresh) {
    const began = Date.now();
    say("minio: building it with Go, which takes some minutes the first time");
    const { code, output } = await run(go ?? "go", ["install", MODULE], {
      env: { ...process.env, GOBIN: fresh },
      signal,
      timeoutMs: BUILD_MS,
    });
    if (code !== 0)
      throw new Error(
        "minio: Go could not build it; look at the network or GOPROXY, or " +
          `give a store by MINIO_ENDPOINT\n${lastLines(output)}`,
      );
    say(`minio: built in ${since(began)}`);
  }
}
