/**
 * Everything encrypted and behind a log-in, against real servers: the whole road once, and each way in which a connection
 * must be refused, in one line that names the setting to change.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import mqtt from "mqtt";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { greetBroker } from "../../src/adapters/mqtt/visit.js";
import { createObjectStore } from "../../src/adapters/objects/store.js";
import { checkRedis } from "../../src/adapters/redis/redis-check.js";
import { checkDatabase } from "../../src/adapters/timescale/database-check.js";
import { addressed } from "../../src/adapters/timescale/secure.js";
import { loadConfig } from "../../src/config.js";
import { reasonOf } from "../../src/errors.js";
import { brokersOf } from "../../src/main/kafka-log.js";
import { withCertificates } from "../support/certificates.js";
import {
  type Encrypted,
  SECRET,
  USER,
  withEncrypted,
} from "../support/encrypted.js";
import { freePort, runCommand, startRole } from "../support/roles.js";
import { until, within } from "../support/wait.js";

const test = suite("everything encrypted");
const run = promisify(execFile);
type Env = Readonly<Record<string, string>>;

/** Why it fails, in one line without secrets; throws when it does not fail. */
async function refusal(work: () => Promise<unknown>): Promise<string> {
  const outcome = await within(
    40_000,
    (async () => work())().then(
      () => null,
      (error: unknown) => reasonOf(error),
    ),
    "a refusal",
  );
  if (outcome === null) throw new Error("it was not refused");
  assert.not.match(outcome, "\n", outcome);
  assert.not.match(outcome, SECRET, outcome);
  return outcome;
}

/** The address of `name` with another port, host, or log-in. */
function moved(
  env: Env,
  name: string,
  change: Partial<Pick<URL, "port" | "hostname" | "password" | "protocol">>,
): Record<string, string> {
  const url = new URL(env[name]!);
  Object.assign(url, change);
  return { ...env, [name]: url.href };
}

const without = (env: Env, ...names: string[]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(([name]) => !names.includes(name)),
  );

const askDatabase = (env: Env) => () =>
  checkDatabase({ url: loadConfig(env).DATABASE_URL, replica: true });

async function atTheDatabase({ env, certificates }: Encrypted) {
  const client = new pg.Client(addressed(loadConfig(env).DATABASE_URL));
  await client.connect();
  const { rows } = await client.query(
    "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
  );
  await client.end();
  assert.equal(rows, [{ ssl: true }]);

  const strangers = { ...env, DATABASE_TLS_CA: certificates.strangersCa };
  assert.match(await refusal(askDatabase(strangers)), "DATABASE_TLS_CA");
  const publicOnly = without(env, "DATABASE_TLS_CA");
  publicOnly["DATABASE_URL"] += "?sslmode=verify-full";
  assert.match(await refusal(askDatabase(publicOnly)), "DATABASE_TLS_CA");
  // The certificate has no such name; verify-ca does not look.
  const other = moved(env, "DATABASE_URL", {
    hostname: "localhost.localdomain",
  });
  const [byName, byAuthority] = await Promise.all([
    outcomeOf(askDatabase(other)),
    outcomeOf(
      askDatabase({
        ...other,
        DATABASE_URL: `${other["DATABASE_URL"]}?sslmode=verify-ca`,
      }),
    ),
  ]);
  if (!/ENOTFOUND|EAI_AGAIN/.test(byName)) {
    assert.match(byName, "use a name in DATABASE_URL that the certificate has");
    assert.is(byAuthority, "");
  }
  // By its address, which the certificate has: the driver alone would have compared it with `localhost`.
  await askDatabase(moved(env, "DATABASE_URL", { hostname: "127.0.0.1" }))();
  const wrong = moved(env, "DATABASE_URL", { password: "wrong" });
  assert.match(
    await refusal(askDatabase(wrong)),
    /password authentication failed.*correct user and password in DATABASE_URL/,
  );
  assert.match(
    await refusal(askDatabase({ ...env, DATABASE_TLS_CA: "/nowhere.pem" })),
    /^DATABASE_TLS_CA cannot be read/,
  );
}

/** Why it failed; "" when it did not. */
const outcomeOf = (work: () => Promise<unknown>): Promise<string> =>
  work().then(() => "", reasonOf);

const askRedis = (env: Env) => () =>
  checkRedis({ url: loadConfig(env).REDIS_URL });

async function atRedis({ env, certificates, stack }: Encrypted) {
  await askRedis(env)();
  const strangers = { ...env, REDIS_TLS_CA: certificates.strangersCa };
  assert.match(await refusal(askRedis(strangers)), "REDIS_TLS_CA");
  const wrong = moved(env, "REDIS_URL", { password: "wrong" });
  assert.match(
    await refusal(askRedis(wrong)),
    "correct user and password in REDIS_URL",
  );
  const plainPort = new URL(stack.env["REDIS_URL"]!).port;
  assert.match(
    await refusal(askRedis(moved(env, "REDIS_URL", { port: plainPort }))),
    "is TLS spoken there? See the port in REDIS_URL",
  );
  const mixed = {
    ...env,
    REDIS_TLS_CERT: certificates.client.cert,
    REDIS_TLS_KEY: certificates.server.key,
  };
  assert.match(
    await refusal(askRedis(mixed)),
    "REDIS_TLS_CERT and REDIS_TLS_KEY do not go together",
  );
  const noPem = { ...env, REDIS_TLS_CA: "package.json" };
  assert.match(await refusal(askRedis(noPem)), "REDIS_TLS_CA must be a PEM");
}

const askBroker = (env: Env) => () =>
  greetBroker(loadConfig(env).MQTT_URL, 5000);

async function atTheBroker({ env, ports, certificates, stack }: Encrypted) {
  await askBroker(env)();
  const at = (port: number) => moved(env, "MQTT_URL", { port: String(port) });
  await askBroker(at(ports.mqttOpen))();
  const strangers = { ...env, MQTT_TLS_CA: certificates.strangersCa };
  assert.match(await refusal(askBroker(strangers)), "PEM file in MQTT_TLS_CA");
  assert.match(
    await refusal(askBroker(at(ports.mqttElsewhere))),
    "use a name in MQTT_URL that the certificate has",
  );
  assert.match(
    await refusal(askBroker(at(ports.mqttExpired))),
    "the server's certificate has expired",
  );
  const nobody = without(env, "MQTT_TLS_CERT", "MQTT_TLS_KEY");
  assert.match(
    await refusal(askBroker(nobody)),
    "MQTT_TLS_CERT and MQTT_TLS_KEY",
  );
  const plainPort = new URL(stack.env["MQTT_URL"]!).port;
  assert.match(
    await refusal(askBroker(at(Number(plainPort)))),
    "the port in MQTT_URL",
  );
}

const askLog = (env: Env) => async (): Promise<unknown> => {
  const log = createLogInspector(
    connectLog({
      ...brokersOf(loadConfig(env)),
      clientId: "test",
      log: () => undefined,
    }),
  );
  try {
    return await log.clusterId();
  } finally {
    await log.close();
  }
};

async function atTheLog(ground: Encrypted) {
  const { env, ports, certificates, stack } = ground;
  await askLog(env)();
  await makeScramUser(ground);
  await askLog({ ...env, KAFKA_SASL_MECHANISM: "scram-sha-512" })();
  const mutual = {
    ...without(
      env,
      "KAFKA_SASL_MECHANISM",
      "KAFKA_SASL_USERNAME",
      "KAFKA_SASL_PASSWORD",
    ),
    KAFKA_BROKERS: `localhost:${ports.kafkaMutual}`,
  };
  await askLog({
    ...mutual,
    KAFKA_TLS_CERT: certificates.client.cert,
    KAFKA_TLS_KEY: certificates.client.key,
  })();

  const strangers = { ...env, KAFKA_TLS_CA: certificates.strangersCa };
  assert.match(await refusal(askLog(strangers)), "PEM file in KAFKA_TLS_CA");
  for (const mechanism of ["plain", "scram-sha-512"])
    assert.match(
      await refusal(
        askLog({
          ...env,
          KAFKA_SASL_MECHANISM: mechanism,
          KAFKA_SASL_PASSWORD: "wrong",
        }),
      ),
      "correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    );
  const plain = { ...env, KAFKA_BROKERS: stack.env["KAFKA_BROKERS"]! };
  assert.match(
    await refusal(askLog(plain)),
    /no TLS is spoken there; correct the port in KAFKA_BROKERS|ECONNRESET/,
  );
  assert.match(await refusal(askLog(mutual)), "KAFKA_TLS_CERT");
}

/** By Kafka's own tool, with the running server's jars. */
async function makeScramUser({ stack }: Encrypted): Promise<void> {
  const { pid } = stack.services.kafka;
  const [java = "", ...line] = readFileSync(`/proc/${pid}/cmdline`, "utf8")
    .split("\0")
    .filter((word) => word !== "");
  const jars = line[line.indexOf("-cp") + 1]!;
  await run(java, [
    "-cp",
    jars,
    "-XX:TieredStopAtLevel=1",
    "kafka.admin.ConfigCommand",
    "--bootstrap-server",
    stack.env["KAFKA_BROKERS"]!,
    "--alter",
    "--add-config",
    `SCRAM-SHA-512=[password=${SECRET}]`,
    "--entity-type",
    "users",
    "--entity-name",
    USER,
  ]);
}

/** What the roles log and say when they are asked, from a device's message by mqtts to its row read by TLS. */
async function theWholeRoad({ env, certificates }: Encrypted) {
  const port = await freePort();
  const settings = {
    ...env,
    IOT_PARTITIONS: "2",
    HTTP_HOST: "127.0.0.1",
    HTTP_PORT: String(port),
    TLS_CERT: certificates.server.cert,
    TLS_KEY: certificates.server.key,
    NODE_EXTRA_CA_CERTS: certificates.ca,
  };
  const migrated = await runCommand(["migrate"], settings);
  assert.is(migrated.code, 0, migrated.output);
  const roles = await Promise.all(
    ["bridge", "processor", "gateway", "worker"].map((role) =>
      startRole(role, settings),
    ),
  );
  try {
    await Promise.all(roles.map((role) => role.ready()));
    await aReading(settings);
    const checks = await runCommand(["check", "--messages", "50"], settings);
    assert.not.match(checks.output, "WRONG", checks.output);
    const { code, output } = await runCommand(
      [
        "validate",
        "--url",
        `https://localhost:${port}`,
        "--only",
        "mqtt,telemetry,view,http,acks",
      ],
      { ...settings, AUTH: "off" },
    );
    assert.is(code, 0, output);
    const untrusting = await runCommand(
      ["validate", "--url", `https://localhost:${port}`, "--only", "http"],
      { ...without(settings, "NODE_EXTRA_CA_CERTS"), AUTH: "off" },
    );
    assert.match(untrusting.output, "PEM file in NODE_EXTRA_CA_CERTS");
    for (const role of roles) assert.not.match(role.output(), SECRET);
  } finally {
    await Promise.all(roles.map((role) => role.stop()));
  }
  await aRoleThatIsRefused(settings, certificates.strangersCa);
}

async function aReading(env: Env): Promise<void> {
  const device = await mqtt.connectAsync(env["MQTT_URL"]!, {
    ca: readFileSync(env["MQTT_TLS_CA"]!),
    cert: readFileSync(env["MQTT_TLS_CERT"]!),
    key: readFileSync(env["MQTT_TLS_KEY"]!),
  });
  await device.publishAsync("devices/safe-1/data", '{"temp": 21.5}', {
    qos: 1,
  });
  await device.endAsync();
  const client = new pg.Client(addressed(loadConfig(env).DATABASE_URL));
  await client.connect();
  try {
    await until(
      async () => {
        const { rows } = await client.query(
          "SELECT v_num FROM ts_measure WHERE device_id = 'safe-1'",
        );
        return rows.length === 1 && rows[0].v_num === 21.5;
      },
      { withinMs: 15_000, what: "the reading's row" },
    );
  } finally {
    await client.end();
  }
}

/** It waits, since a certificate may be put right, and says so where people and probes look. */
async function aRoleThatIsRefused(env: Env, strangersCa: string) {
  const processor = await startRole("processor", {
    ...env,
    DATABASE_TLS_CA: strangersCa,
  });
  try {
    const told = await until(
      async () => {
        const answer = await fetch(`${processor.metricsUrl}/ready`).catch(
          () => null,
        );
        const text = (await answer?.text()) ?? "";
        return answer?.status === 503 && text.includes("DATABASE_TLS_CA")
          ? text
          : null;
      },
      { withinMs: 20_000, what: "readiness to name the setting" },
    );
    assert.match(told, "waits for database");
    assert.match(processor.output(), "DATABASE_TLS_CA");
  } finally {
    await processor.kill();
  }
}

test("each server is reached by TLS with a log-in, and every wrong turn names the setting to change", () =>
  withEncrypted(async (ground) => {
    await atTheDatabase(ground);
    await atRedis(ground);
    await atTheBroker(ground);
    await atTheLog(ground);
    await theWholeRoad(ground);
  }));

test("an object store behind HTTPS is looked at with its authority's certificate", () =>
  withCertificates(async ({ server, ca, strangersCa }) => {
    const store = https.createServer(
      { cert: readFileSync(server.cert), key: readFileSync(server.key) },
      (request, response) => {
        request.resume();
        response.end("<LocationConstraint></LocationConstraint>");
      },
    );
    await new Promise<void>((resolve) => {
      store.listen(0, "127.0.0.1", resolve);
    });
    const { port } = store.address() as AddressInfo;
    const ping = (authority: string) => async () => {
      const objects = createObjectStore(
        loadConfig({
          STORAGE_TYPE: "minio",
          MINIO_ENDPOINT: `https://localhost:${port}`,
          MINIO_TLS_CA: authority,
        }),
        () => undefined,
      );
      try {
        await objects.ping();
      } finally {
        await objects.close();
      }
    };
    try {
      await ping(ca)();
      assert.match(await refusal(ping(strangersCa)), "file in MINIO_TLS_CA");
    } finally {
      store.closeAllConnections();
      store.close();
    }
  }));

test.run();
