/** What a trial ran on: versions, and what the stores do before they answer. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { Ground } from "./ground.js";

const exec = promisify(execFile);

const setting = (text: string, name: string): string =>
  new RegExp(`^${name}[ =](.*)$`, "m").exec(text)?.[1] ?? "default";

/** In words, by program. */
export async function versionsOf(
  ground: Pick<Ground, "query" | "stack">,
): Promise<Record<string, string>> {
  const { services } = ground.stack;
  const { rows } = await ground.query<{
    version: string;
    fsync: string;
    commit: string;
    timescale: string | null;
  }>(
    `SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
            current_setting('synchronous_commit') AS commit,
            (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescale`,
  );
  const { version, fsync, commit, timescale } = rows[0]!;
  const conf = (service: "redis" | "mqtt", file: string): string =>
    readFileSync(join(services[service].folder, file), "utf8");
  const redis = conf("redis", "redis.conf");
  const mosquitto = conf("mqtt", "mosquitto.conf");
  const pom = readFileSync(resolve("deploy/native/pom.xml"), "utf8");
  const kafka = /<kafka\.version>(.*?)</.exec(pom)?.[1] ?? "";
  return {
    node: process.version,
    postgresql: `${version}, fsync=${fsync}, synchronous_commit=${commit}`,
    timescaledb: timescale ?? "none",
    redis: `${await said("redis-server", ["--version"])}, appendonly ${setting(redis, "appendonly")}, appendfsync ${setting(redis, "appendfsync")}`,
    kafka: `${kafka}, acks=all on one node, written to the page cache and not synced`,
    mosquitto: `${await said("mosquitto", ["-h"])}, persistence ${setting(mosquitto, "persistence")}, autosave_interval ${setting(mosquitto, "autosave_interval")} s`,
  };
}

/** The version in a program's first line. */
async function said(program: string, args: string[]): Promise<string> {
  // A plain user's PATH on Debian lacks the folder of mosquitto.
  const PATH = `${process.env["PATH"]}:/usr/sbin:/usr/local/sbin`;
  const run = exec(program, args, { env: { PATH } });
  // mosquitto -h answers with 3.
  const { stdout } = await run.catch((error: { stdout?: string }) => ({
    stdout: error.stdout ?? "",
  }));
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "of an unknown version";
}
