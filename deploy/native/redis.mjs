// redis-server: everything in it can be rebuilt, so it may lose a second.
import { writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { redisAnswers } from "../stack/probe.mjs";
import { giveFile } from "./place.mjs";
import { findProgram } from "./programs.mjs";

const MIB = 2 ** 20;
/** A quarter of the machine's memory, between 256 MiB and 4 GiB. */
const MAX_MEMORY_MIB = Math.round(
  Math.min(4096, Math.max(256, totalmem() / MIB / 4)),
);

/** @type {import("./service.mjs").Definition} */
export const redis = {
  name: "redis",
  setting: "REDIS_URL",
  portNames: ["redis"],
  accounts: ["redis"],
  stopSignal: "SIGTERM",

  async missing() {
    return findProgram("redis-server") ? [] : ["redis-server"];
  },

  async prepare({ folder, ports, account, lines }) {
    const file = join(folder, "redis.conf");
    const text = settings(folder, ports.redis ?? 0) + lines(ports);
    writeFileSync(file, text, { mode: 0o600 });
    giveFile(account, file);
    return "redis-server";
  },

  async command({ folder }) {
    const file = findProgram("redis-server") ?? "redis-server";
    return { file, args: [join(folder, "redis.conf")] };
  },

  url: ({ ports }) => `redis://127.0.0.1:${ports.redis}`,
  answers: ({ ports }) => redisAnswers(ports.redis ?? 0),
};

/** @param {string} folder @param {number} port */
function settings(folder, port) {
  return `bind 127.0.0.1
port ${port}
protected-mode yes
daemonize no
dir "${folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory ${MAX_MEMORY_MIB}mb
# A full Redis says so to the writer, which waits; it never forgets a device.
maxmemory-policy noeviction
loglevel notice
logfile ""
`;
}
