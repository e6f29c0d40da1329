// Where everything is: for people, and for a shell.
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { hidePassword } from "../stack/given.mjs";

/**
 * For a shell's `.`: read by its owner alone, since it holds a password.
 * @param {string} file @param {Record<string, string>} env
 */
export function writeStackEnv(file, env) {
  const lines = Object.entries(env).map(
    ([key, value]) => `${key}='${value.replaceAll("'", String.raw`'\''`)}'\n`,
  );
  rmSync(`${file}.new`, { force: true });
  writeFileSync(`${file}.new`, lines.join(""), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/**
 * Where the gateway answers, by the settings it was given.
 * @param {NodeJS.ProcessEnv} settings @param {number} port
 */
export function gatewayUrl({ TLS_CERT, HTTP_HOST }, port) {
  const scheme = TLS_CERT ? "https" : "http";
  const host = !HTTP_HOST || HTTP_HOST === "0.0.0.0" ? "127.0.0.1" : HTTP_HOST;
  return `${scheme}://${host}:${port}`;
}

/**
 * @param {Record<string, string>} env
 * @param {string[]} pages for a browser
 */
export function addressLines(env, pages) {
  const rows = [
    ["gateway", `${env.HTTP_URL}`],
    ["", `${env.HTTP_URL}/docs (its routes)`],
    ["metrics", `${env.METRICS_URL} (processor)`],
    ["", `${env.METRICS_URL_BRIDGE} (bridge)`],
    ["", `${env.METRICS_URL_GATEWAY} (gateway)`],
    ["", `${env.METRICS_URL_WORKER} (worker)`],
    ["MQTT", hidePassword(env.MQTT_URL ?? "")],
    ["Kafka", env.KAFKA_BROKERS],
    ["Redis", env.REDIS_URL],
    ["psql", '. .twinstream/stack.env; psql "$DATABASE_URL"'],
    ...pages.map((page) => ["page", page]),
  ];
  return rows
    .map(([name = "", value = ""]) => `${name.padEnd(9)} ${value}`)
    .join("\n");
}
