/**
 * The settings: one schema with every name, default and bound. `loadConfig` answers a frozen object, or throws one error
 * that lists every bad setting by name, with what it may be and what it was. Longer than most files because it is one table:
 * a setting's name, default, bounds and description stand together, and the README's table is held to it.
 */
import { isIP } from "node:net";
import { hostname } from "node:os";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { addressProblems, wholeAddresses } from "./config/addresses.js";
import { TwinstreamError } from "./errors.js";

const text = (value: string, description: string) =>
  Type.String({ default: value, description, minLength: 1 });
const optional = (description: string) =>
  Type.Optional(Type.String({ description, minLength: 1 }));
const whole = (
  value: number,
  minimum: number,
  maximum: number,
  description: string,
) => Type.Integer({ default: value, minimum, maximum, description });
const number = (
  value: number,
  minimum: number,
  maximum: number,
  description: string,
) => Type.Number({ default: value, minimum, maximum, description });
const oneOf = <const T extends readonly string[]>(
  values: T,
  value: T[number],
  description: string,
) =>
  Type.Unsafe<T[number]>(
    Type.Enum([...values], { default: value, description }),
  );

const SASL_MECHANISMS = ["plain", "scram-sha-256", "scram-sha-512"] as const;

/** Names are environment variables; descriptions are what the settings table of the README shows. */
export const Settings = Type.Object({
  NODE_ENV: text(
    "development",
    "`production` refuses defaults that are fine only on a laptop",
  ),

  MQTT_URL: text(
    "mqtt://127.0.0.1:1883",
    "MQTT broker, user and password in the URL where it asks for them",
  ),
  MQTT_ADMIN_URL: optional(
    "MQTT_URL with the control user of Mosquitto's dynamic security plugin, for `twinstream devices` and the gateway's routes",
  ),
  MQTT_TLS_CA: optional(
    "PEM file of the authority that signed the broker's certificate, with mqtts:// or wss://; without it the public ones are trusted",
  ),
  MQTT_TLS_CERT: optional(
    "PEM file of our certificate, for a broker that asks for one",
  ),
  MQTT_TLS_KEY: optional("PEM file of its key"),
  MQTT_PASSWORD_MAX_AGE_DAYS: whole(
    90,
    0,
    3650,
    "days after which a device's password is to be replaced; 0 is never",
  ),
  MQTT_PASSWORD_NOTICE_DAYS: whole(
    7,
    0,
    365,
    "days before that from which on it is called due, and replaced where the device takes part",
  ),
  MQTT_PASSWORD_OVERLAP_HOURS: number(
    24,
    0,
    8760,
    "hours for which a replaced password goes on working",
  ),
  MQTT_TOPICS: text(
    "devices/+/hello,devices/+/data,devices/+/ack,{prefix}/+/+/+/telem,{prefix}/+/+/+/event,{prefix}/+/+/+/state,{prefix}/+/+/+/ack",
    "topic filters the bridge subscribes to, by commas; `{prefix}` stands for MQTT_TENANT_PREFIX",
  ),
  MQTT_QOS: whole(
    1,
    0,
    1,
    "QoS of the bridge's subscriptions; 0 gives up the promise that nothing is lost",
  ),
  MQTT_TENANT_PREFIX: Type.String({
    default: "traksense",
    pattern: "^[A-Za-z0-9._:-]{1,128}$",
    description: "first segment of the tenants' topics",
  }),
  MQTT_SHARE_GROUP: optional(
    "shared-subscription group of several bridges, on a broker that hashes by topic",
  ),
  BRIDGE_ID: text(
    "bridge-1",
    "fixed client id of this bridge; its session at the broker hangs on it",
  ),
  BRIDGE_WINDOW: whole(
    1000,
    1,
    65_535,
    "messages a bridge holds unacknowledged at most: more for a log that answers slowly, fewer so that none waits long",
  ),
  BRIDGE_WINDOW_BYTES: whole(
    33_554_432,
    4_194_304,
    2_147_483_647,
    "bytes a bridge holds unacknowledged at most",
  ),
  BRIDGE_LINGER_MS: whole(
    5,
    0,
    1000,
    "how long a bridge gathers messages for one request to the log, milliseconds",
  ),

  KAFKA_BROKERS: text("127.0.0.1:9092", "brokers of the log, by commas"),
  KAFKA_TLS: oneOf(
    ["on", "off"],
    "off",
    "whether the brokers of the log are spoken to by TLS",
  ),
  KAFKA_TLS_CA: optional(
    "PEM file of the authority that signed the log brokers' certificates; without it the public ones are trusted",
  ),
  KAFKA_TLS_CERT: optional(
    "PEM file of our certificate, for brokers of the log that ask for one",
  ),
  KAFKA_TLS_KEY: optional("PEM file of its key"),
  KAFKA_SASL_MECHANISM: Type.Optional(
    Type.Unsafe<(typeof SASL_MECHANISMS)[number]>(
      Type.Enum([...SASL_MECHANISMS], {
        description:
          "`plain`, `scram-sha-256` or `scram-sha-512`: how to log in at the log, where it asks for that",
      }),
    ),
  ),
  KAFKA_SASL_USERNAME: optional("user name at the log"),
  KAFKA_SASL_PASSWORD: optional("its password"),
  IOT_PARTITIONS: whole(
    12,
    1,
    1024,
    "partitions of `iot-data` and `device-commands` when they are made",
  ),
  LOG_REPLICATION: whole(
    1,
    1,
    9,
    "replication factor of topics when they are made",
  ),
  PROCESSOR_GROUP: text(
    "twinstream-processor",
    "consumer group of the processors",
  ),
  PROCESSOR_ID: text(
    hostname(),
    "name of this processor in the fence and in logs",
  ),

  REDIS_URL: text(
    "redis://127.0.0.1:6379/0",
    "Redis: last states, history, live updates; `rediss://user:password@…` for TLS and an ACL user",
  ),
  REDIS_TLS_CA: optional(
    "PEM file of the authority that signed Redis' certificate, with rediss://; without it the public ones are trusted",
  ),
  REDIS_TLS_CERT: optional(
    "PEM file of our certificate, for a Redis that asks for one",
  ),
  REDIS_TLS_KEY: optional("PEM file of its key"),
  DATABASE_URL: text(
    "postgres://twinstream@127.0.0.1:5432/twinstream",
    "TimescaleDB, or plain PostgreSQL ≥ 15; `?sslmode=verify-full` for TLS",
  ),
  DATABASE_READ_URL: optional(
    "read replica for the gateway's queries; DATABASE_URL when unset",
  ),
  DATABASE_TLS_CA: optional(
    "PEM file of the authority that signed the database's certificate; makes sslmode verify-full where the URL has none",
  ),
  DATABASE_TLS_CERT: optional(
    "PEM file of our certificate, for a database that asks for one",
  ),
  DATABASE_TLS_KEY: optional("PEM file of its key"),
  DB_POOL_MIN: whole(2, 0, 1000, "database connections kept open"),
  DB_POOL_MAX: whole(20, 2, 1000, "database connections at most"),

  DATABASE_DISK_BYTES: whole(
    0,
    0,
    Number.MAX_SAFE_INTEGER,
    "bytes of the database's volume, by which alerts tell how full it will be; 0 when not known",
  ),

  STORAGE_TYPE: oneOf(
    ["minio", "filesystem"],
    "filesystem",
    "where uploads are kept",
  ),
  STORAGE_PATH: text(
    ".twinstream/objects",
    "folder of the uploads with STORAGE_TYPE=filesystem, shared by gateways and workers",
  ),
  MINIO_ENDPOINT: text(
    "http://127.0.0.1:9000",
    "MinIO or another S3-compatible store",
  ),
  MINIO_TLS_CA: optional(
    "PEM file of the authority that signed the object store's certificate, with https://; without it the public ones are trusted",
  ),
  MINIO_ACCESS_KEY: text("minioadmin", "access key"),
  MINIO_SECRET_KEY: text("minioadmin", "secret key"),
  MINIO_BUCKET: text("telemetry-raw", "bucket of the uploads"),
  DELETE_FILE_AFTER_PROCESSING: Type.Boolean({
    default: true,
    description: "whether an upload is deleted once stored",
  }),
  FILE_RETENTION_DAYS: whole(
    7,
    1,
    3650,
    "days an upload is kept otherwise, once stored or rejected; one that is still open stays",
  ),
  BULK_MAX_BYTES: whole(
    1_073_741_824,
    1_048_576,
    1_099_511_627_776,
    "bytes of an upload at most, uncompressed",
  ),
  BULK_MAX_RATIO: whole(
    200,
    10,
    1032,
    "times a gzipped upload may grow when inflated; more is taken for a bomb",
  ),
  BULK_MAX_CONCURRENT: whole(
    8,
    1,
    1000,
    "uploads a gateway receives at a time; more are asked to come back later",
  ),
  BULK_MAX_EQUIPMENT_BYTES: whole(
    8_388_608,
    1024,
    268_435_456,
    "bytes of one equipment of an upload at most; a larger one is an error for it alone",
  ),
  WORKER_GROUP: text("twinstream-worker", "consumer group of the workers"),
  BULK_INSERT_BATCH_SIZE: whole(
    1000,
    1,
    1_000_000,
    "readings a worker stores at a time, at least",
  ),

  INGEST_QUEUE_MAX: whole(
    50_000,
    100,
    10_000_000,
    "messages a processor holds at most, over all its lanes",
  ),
  INGEST_QUEUE_BYTES: whole(
    67_108_864,
    8_388_608,
    8_589_934_592,
    "bytes a processor holds at most, over all its lanes",
  ),
  INGEST_BATCH_SIZE: whole(800, 1, 100_000, "messages that start a flush"),
  INGEST_BATCH_MS: whole(
    250,
    1,
    60_000,
    "milliseconds after which a flush starts with what there is",
  ),
  MAX_LIVE_ACTORS: whole(
    200_000,
    100,
    100_000_000,
    "device actors alive at most in a processor; the least recently used go first",
  ),
  ACTOR_IDLE_SECONDS: whole(
    900,
    1,
    86_400,
    "idle seconds after which a device actor is let go",
  ),
  DEVICE_OFFLINE_TIMEOUT: whole(
    60,
    1,
    86_400,
    "seconds of silence after which a device is offline",
  ),
  FUTURE_LIMIT_HOURS: number(
    24,
    0,
    87_600,
    "hours a reading's time may be ahead of its arrival",
  ),
  EARLIEST_TIME: text(
    "2000-01-01T00:00:00Z",
    "readings before it are refused as `bad_timestamp`",
  ),
  HISTORY_HOURS: number(
    5,
    0.01,
    168,
    "hours of messages kept in Redis for each device",
  ),
  RAW_RETENTION_DAYS: whole(
    30,
    0,
    36_500,
    "days raw rows are kept; 0 keeps them for ever",
  ),
  DLQ_RETENTION_DAYS: whole(14, 1, 3650, "days dead letters are kept"),
  WATCHDOG_SECONDS: whole(
    90,
    10,
    3600,
    "seconds without progress after which a processor ends itself, to be started again",
  ),

  JWT_SECRET: text(
    "development-only-secret",
    "secret that signs access tokens",
  ),
  AUTH: oneOf(
    ["on", "off"],
    "on",
    "`off` leaves the gateway open to everybody, for a laptop",
  ),
  RATE_LIMIT_IP: whole(
    6000,
    0,
    1_000_000_000,
    "requests a minute from one address, over all gateways; 0 is no limit",
  ),
  RATE_LIMIT_USER: whole(
    3000,
    0,
    1_000_000_000,
    "requests a minute by one user, over all gateways; 0 is no limit",
  ),
  RATE_LIMIT_LOGIN: whole(
    30,
    0,
    1_000_000_000,
    "log-ins and refreshes a minute from one address, over all gateways; 0 is no limit",
  ),
  LIVE_MAX_CLIENTS: whole(
    5000,
    0,
    1_000_000,
    "live streams that a gateway has open at most; 0 is no limit",
  ),
  LIVE_MAX_PER_USER: whole(
    50,
    0,
    1_000_000,
    "live streams of one user in a gateway at most; 0 is no limit",
  ),
  LIVE_MAX_PER_ADDRESS: whole(
    200,
    0,
    1_000_000,
    "live streams from one address in a gateway at most; 0 is no limit",
  ),
  LIVE_BUFFER_BYTES: whole(
    262_144,
    16_384,
    67_108_864,
    "bytes that a slow client of a live stream may have waiting; beyond it only the newest message of each device waits",
  ),
  LIVE_STUCK_SECONDS: whole(
    30,
    1,
    3600,
    "seconds after which a client of a live stream that takes nothing is cut off",
  ),
  CORS_ORIGINS: optional(
    "origins whose pages may call the gateway from a browser, by commas, such as `https://dash.example.com`",
  ),
  DOCS: oneOf(
    ["on", "off"],
    "on",
    "whether the gateway shows its OpenAPI document at /docs",
  ),
  HTTP_HOST: text("127.0.0.1", "address the gateway listens on"),
  HTTP_PORT: whole(8000, 0, 65_535, "port of the gateway"),
  TLS_CERT: optional("PEM file for HTTPS"),
  TLS_KEY: optional("PEM file for HTTPS"),
  TRUST_PROXY: optional(
    "addresses of proxies whose X-Forwarded-For is believed, by commas",
  ),
  METRICS_HOST: text("127.0.0.1", "address of /metrics, /ready and /alive"),
  METRICS_PORT: whole(
    9100,
    0,
    65_535,
    "port of /metrics, /ready and /alive of this role",
  ),
  TRACE_SAMPLING: number(
    0.01,
    0,
    1,
    "share of messages and requests without a trace of their own that begin one, where OTEL_EXPORTER_OTLP_ENDPOINT is set",
  ),
  LOG_LEVEL: oneOf(
    ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    "info",
    "least level that is logged",
  ),
  LOG_FORMAT: oneOf(
    ["json", "pretty"],
    "json",
    "`pretty` for people at a terminal",
  ),
});

export type Config = Readonly<Static<typeof Settings>> & {
  /** EARLIEST_TIME, microseconds since the Unix epoch. */
  readonly earliestUs: number;
};

/** Values that must not reach production. */
const LAPTOP_ONLY: Readonly<
  Partial<Record<keyof typeof Settings.properties, string>>
> = {
  JWT_SECRET: "development-only-secret",
  MINIO_ACCESS_KEY: "minioadmin",
  MINIO_SECRET_KEY: "minioadmin",
  AUTH: "off",
};
/** Characters of a secret that signs with SHA-256: as many as its 32 bytes (RFC 7518, 3.2). */
const LEAST_SECRET = 32;
/** Names whose values are never printed. */
const SECRET = /SECRET|PASSWORD|ACCESS_KEY|_URL$/;

/**
 * Reads and checks the settings. An empty value counts as not given.
 * @throws TwinstreamError CONFIG_INVALID with a line for each bad setting.
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
): Config {
  const given: Record<string, unknown> = {};
  for (const name of Object.keys(Settings.properties)) {
    const value = env[name];
    if (value !== undefined && value !== "") given[name] = value;
  }
  const config = Value.Default(Settings, Value.Convert(Settings, given));
  const problems: string[] = [];
  for (const error of Value.Errors(Settings, config)) {
    const name = error.instancePath.slice(1);
    const schema = (Settings.properties as Record<string, object>)[name];
    problems.push(
      `${name} ${error.message}; it was ${shown(name, env[name])}${bounds(schema)}`,
    );
  }
  if (problems.length === 0) {
    const settings = config as Static<typeof Settings>;
    const earliestUs = Date.parse(settings.EARLIEST_TIME) * 1000;
    if (Number.isNaN(earliestUs))
      problems.push(
        `EARLIEST_TIME must be an ISO 8601 time; it was ${shown("EARLIEST_TIME", settings.EARLIEST_TIME)}`,
      );
    if (settings.DB_POOL_MIN > settings.DB_POOL_MAX)
      problems.push(
        `DB_POOL_MIN must not be above DB_POOL_MAX; they were ${settings.DB_POOL_MIN} and ${settings.DB_POOL_MAX}`,
      );
    if ((settings.TLS_CERT === undefined) !== (settings.TLS_KEY === undefined))
      problems.push(
        "TLS_CERT and TLS_KEY go together; only one of them was given",
      );
    problems.push(...addressProblems(settings));
    for (const address of listOf(settings.TRUST_PROXY))
      if (!isAddress(address))
        problems.push(
          `TRUST_PROXY must be addresses such as 10.0.0.7 or 10.0.0.0/8, or loopback, linklocal, uniquelocal, by commas; it has ${JSON.stringify(address)}`,
        );
    for (const origin of listOf(settings.CORS_ORIGINS))
      if (!URL.canParse(origin) || new URL(origin).origin !== origin)
        problems.push(
          `CORS_ORIGINS must be origins such as https://dash.example.com, by commas; it has ${JSON.stringify(origin)}`,
        );
    if (settings.NODE_ENV === "production")
      problems.push(...laptopDefaults(settings));
    if (problems.length === 0)
      return Object.freeze({ ...wholeAddresses(settings), earliestUs });
  }
  throw new TwinstreamError(
    "CONFIG_INVALID",
    `bad settings:\n  ${problems.join("\n  ")}`,
  );
}

function laptopDefaults(settings: Static<typeof Settings>): string[] {
  const used: string[] = [];
  if (settings.JWT_SECRET.length < LEAST_SECRET)
    used.push(
      `JWT_SECRET has fewer than ${LEAST_SECRET} characters, which NODE_ENV=production refuses; try: openssl rand -base64 32`,
    );
  if (settings.KAFKA_SASL_MECHANISM === "plain" && settings.KAFKA_TLS === "off")
    used.push(
      "KAFKA_SASL_MECHANISM=plain sends the password in the clear without KAFKA_TLS=on, which NODE_ENV=production refuses",
    );
  if (/^[^:]+:\/\/[^:@/]*:twinstream@/.test(settings.DATABASE_URL))
    used.push(
      "DATABASE_URL has compose's laptop password, which NODE_ENV=production refuses; node deploy/compose/secrets.mjs makes better ones",
    );
  for (const [name, value] of Object.entries(LAPTOP_ONLY)) {
    if (name.startsWith("MINIO") && settings.STORAGE_TYPE !== "minio") continue;
    if (settings[name as keyof typeof settings] === value)
      used.push(
        name === "AUTH"
          ? "AUTH=off leaves the gateway open, which NODE_ENV=production refuses"
          : `${name} has its laptop default, which NODE_ENV=production refuses; set it`,
      );
  }
  return used;
}

/** The parts of a setting that holds several by commas. */
export const listOf = (text: string | undefined): string[] =>
  (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** As the gateway's server takes it: an address, a network, or a name of some networks. */
function isAddress(text: string): boolean {
  if (/^(loopback|linklocal|uniquelocal)$/.test(text)) return true;
  const [address = "", bits, more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more !== undefined) return false;
  // A network of all addresses would believe anybody.
  return (
    bits === undefined ||
    (/^\d{1,3}$/.test(bits) &&
      Number(bits) > 0 &&
      Number(bits) <= (version === 4 ? 32 : 128))
  );
}

function shown(name: string, value: string | undefined): string {
  if (value === undefined) return "not given";
  return SECRET.test(name) ? "a value not shown here" : JSON.stringify(value);
}

function bounds(schema: object | undefined): string {
  const s = (schema ?? {}) as {
    minimum?: number;
    maximum?: number;
    enum?: string[];
  };
  if (s.enum) return ` (one of ${s.enum.join(", ")})`;
  if (s.minimum !== undefined) return ` (${s.minimum} to ${s.maximum})`;
  return "";
}
