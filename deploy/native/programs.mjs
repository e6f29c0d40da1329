// Where the services' programs are on this machine.
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run } from "../stack/processes.mjs";

// A plain user's PATH on Debian lacks the sbin folders, where mosquitto is.
const FOLDERS = [
  ...(process.env.PATH ?? "").split(delimiter),
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/opt/homebrew/bin",
  "/opt/homebrew/sbin",
];

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name @returns {string | null} its full path */
export function findProgram(name) {
  for (const folder of FOLDERS) {
    const path = join(folder, name);
    if (folder && isProgram(path)) return path;
  }
  return null;
}

/** Kafka 4's broker needs Java 17 or later. */
const JAVA_AT_LEAST = 17;

/** @returns {Promise<string | null>} full path of a new enough java */
export async function findJava() {
  const home = process.env.JAVA_HOME;
  const jvms = existsSync("/usr/lib/jvm") ? readdirSync("/usr/lib/jvm") : [];
  const candidates = [
    home && join(home, "bin", "java"),
    findProgram("java"),
    ...jvms.map((name) => join("/usr/lib/jvm", name, "bin", "java")),
  ];
  for (const java of candidates) {
    if (!java || !isProgram(java)) continue;
    const { output } = await run(java, ["-version"], { timeoutMs: 20_000 });
    const major = Number(/version "(\d+)/.exec(output)?.[1] ?? 0);
    if (major >= JAVA_AT_LEAST) return java;
  }
  return null;
}

/**
 * @typedef {{ major: number, folder: string, timescale: boolean }} Postgres
 *   a PostgreSQL server's programs, and whether it has TimescaleDB
 */

/** The SQL needs it. */
export const POSTGRES_AT_LEAST = 15;

/** @returns {Promise<Postgres[]>} new enough ones, the best one first */
export async function findPostgres() {
  const debian = "/usr/lib/postgresql";
  const folders = existsSync(debian)
    ? readdirSync(debian).map((version) => join(debian, version, "bin"))
    : [];
  const config = findProgram("pg_config");
  if (config) {
    const { code, stdout } = await run(config, ["--bindir"]);
    if (code === 0) folders.push(stdout.trim());
  }
  /** @type {Postgres[]} */
  const found = [];
  for (const folder of new Set(folders)) {
    if (!isProgram(join(folder, "initdb"))) continue;
    const version = await run(join(folder, "postgres"), ["--version"]);
    const major = Number(/\) (\d+)/.exec(version.stdout)?.[1] ?? 0);
    if (major < POSTGRES_AT_LEAST) continue;
    found.push({ major, folder, timescale: await hasTimescale(folder) });
  }
  return found.sort(
    (a, b) => Number(b.timescale) - Number(a.timescale) || b.major - a.major,
  );
}

/** @param {string} folder of a server's programs */
async function hasTimescale(folder) {
  const { code, stdout } = await run(join(folder, "pg_config"), [
    "--sharedir",
    "--pkglibdir",
  ]);
  const [share, lib] = stdout.split("\n");
  return (
    code === 0 &&
    existsSync(`${share}/extension/timescaledb.control`) &&
    existsSync(`${lib}/timescaledb.so`)
  );
}
