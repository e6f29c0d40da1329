// PostgreSQL, with TimescaleDB where this machine's server has it.
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { postgresAnswers } from "../stack/probe.mjs";
import { isWorkplace, run } from "../stack/processes.mjs";
import { lastLines } from "../stack/say.mjs";
import { giveFile, makeFolder } from "./place.mjs";
import { findPostgres, POSTGRES_AT_LEAST } from "./programs.mjs";

const USER = "twinstream";
const DATABASE = "twinstream";

/** @type {import("./service.mjs").Definition} */
export const postgres = {
  name: "postgres",
  setting: "DATABASE_URL",
  portNames: ["postgres"],
  accounts: ["postgres"],
  // The fast shutdown: SIGTERM would wait for every client to leave.
  stopSignal: "SIGINT",

  async missing() {
    return (await findPostgres()).length > 0 ? [] : ["postgresql"];
  },

  async prepare(context) {
    const { folder, ports, account, lines } = context;
    const cluster = join(folder, "cluster");
    if (!existsSync(cluster)) await createCluster(context, cluster);
    forgetDeadServer(cluster);
    const server = await serverOf(folder);
    const file = join(cluster, "twinstream.conf");
    const text = settings(ports.postgres ?? 0, server.timescale) + lines(ports);
    writeFileSync(file, text, { mode: 0o600 });
    giveFile(account, file);
    return server.timescale
      ? `PostgreSQL ${server.major} with TimescaleDB`
      : `PostgreSQL ${server.major} without TimescaleDB (native partitions ` +
          "and plain views take its place)";
  },

  async command({ folder }) {
    const server = await serverOf(folder);
    const args = ["-D", join(folder, "cluster")];
    return { file: join(server.folder, "postgres"), args };
  },

  url: ({ root, ports }) =>
    `postgres://${USER}:${password(root)}@127.0.0.1:${ports.postgres}/${DATABASE}`,
  answers: ({ ports }) => postgresAnswers(ports.postgres ?? 0, USER, DATABASE),
};

/** Kept outside the cluster, so that it outlives a wipe. @param {string} root */
function password(root) {
  const file = join(root, "postgres.password");
  if (!existsSync(file))
    writeFileSync(file, randomBytes(16).toString("hex"), { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

/**
 * The installed server that fits the data: a cluster stays with the major
 * version it was made by.
 * @param {string} folder
 */
async function serverOf(folder) {
  const installed = await findPostgres();
  if (installed.length === 0)
    throw new Error(
      `postgres: version ${POSTGRES_AT_LEAST} or later is needed, and this ` +
        "machine's packages have an older one; install it from PostgreSQL's " +
        "own packages, start a Docker engine, or give DATABASE_URL",
    );
  const marker = join(folder, "cluster", "PG_VERSION");
  const made = existsSync(marker)
    ? Number(readFileSync(marker, "utf8"))
    : installed[0]?.major;
  const server = installed.find(({ major }) => major === made);
  if (!server)
    throw new Error(
      `the data in ${folder} was made by PostgreSQL ${made}, which is not ` +
        `installed; install it, or move the folder away to begin anew`,
    );
  return server;
}

/**
 * A killed server leaves its pid behind; PostgreSQL refuses to start while a
 * process has that number, be it a stranger's, or dead and not yet reaped (seen
 * under a container's own process 1). Servers and their children work in their
 * cluster's folder: when nobody does, the file says nothing.
 * @param {string} cluster
 */
function forgetDeadServer(cluster) {
  if (process.platform === "linux" && !isWorkplace(cluster))
    rmSync(join(cluster, "postmaster.pid"), { force: true });
}

/**
 * Made beside its place and moved there when complete, so that a start cut
 * short leaves no half of a cluster.
 * @param {import("./service.mjs").Context} context @param {string} cluster
 */
async function createCluster({ root, folder, account, signal }, cluster) {
  const server = await serverOf(folder);
  const fresh = `${cluster}.new`;
  const secret = join(folder, "password");
  rmSync(fresh, { recursive: true, force: true });
  makeFolder(fresh, account);
  writeFileSync(secret, password(root), { mode: 0o600 });
  giveFile(account, secret);
  const as = account ? { uid: account.uid, gid: account.gid } : {};

  /** @param {string} program @param {string[]} args @param {string} [input] */
  async function step(program, args, input = "") {
    const { code, output } = await run(join(server.folder, program), args, {
      ...as,
      input,
      signal,
      cwd: folder,
      env: { PATH: process.env.PATH, LANG: "C.UTF-8" },
    });
    if (code !== 0)
      throw new Error(`postgres: ${program} failed:\n${lastLines(output)}`);
  }

  await step("initdb", [
    `--pgdata=${fresh}`,
    `--username=${USER}`,
    `--pwfile=${secret}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-instructions",
  ]);
  rmSync(secret);
  appendFileSync(
    join(fresh, "postgresql.conf"),
    "\ninclude 'twinstream.conf' # written anew at every start\n",
  );
  writeFileSync(join(fresh, "twinstream.conf"), "");
  // In single-user mode, which needs neither a port nor a client.
  const createDatabase = `CREATE DATABASE ${DATABASE};\n`;
  await step("postgres", ["--single", "-D", fresh, "postgres"], createDatabase);
  renameSync(fresh, cluster);
}

/** @param {number} port @param {boolean} timescale */
function settings(port, timescale) {
  const quarter = Math.floor(totalmem() / 2 ** 20 / 4);
  return `listen_addresses = '127.0.0.1'
port = ${port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = ${Math.min(512, quarter)}MB
effective_cache_size = ${2 * quarter}MB
maintenance_work_mem = 128MB
work_mem = 16MB
synchronous_commit = on
max_wal_size = 4GB
min_wal_size = 256MB
checkpoint_timeout = 15min
wal_compression = on
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
# For \`twinstream explain\`: when a row was committed.
track_commit_timestamp = on
# A query over many chunks locks each of them.
max_locks_per_transaction = 256
max_worker_processes = 16
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] %a '
${timescale ? TIMESCALE : ""}`;
}

const TIMESCALE = `shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 8
`;
