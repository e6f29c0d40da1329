// node deploy/compose/secrets.mjs: writes deploy/compose/.env with secrets made
// for this machine, once; an .env that is there is left alone.
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Letters and digits alone: they stand in URLs. */
const secret = () => randomBytes(24).toString("hex");

const NAMES = [
  "POSTGRES_PASSWORD",
  "REDIS_PASSWORD",
  "MINIO_ACCESS_KEY",
  "MINIO_SECRET_KEY",
  "MQTT_ADMIN_PASSWORD",
  "MQTT_PASSWORD",
  "JWT_SECRET",
  "GRAFANA_ADMIN_PASSWORD",
  "GRAFANA_DB_PASSWORD",
];

const file = process.argv[2] ?? fileURLToPath(new URL(".env", import.meta.url));
try {
  writeFileSync(file, NAMES.map((name) => `${name}=${secret()}\n`).join(""), {
    mode: 0o600,
    flag: "wx",
  });
  console.log(`wrote ${file}; keep a copy: the data is of no use without it`);
} catch (error) {
  if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST")
    throw error;
  console.error(`${file} is there already and stays as it is`);
  process.exitCode = 1;
}
