/** What settings say of certificates and log-ins: what goes together, and what an address takes along. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { loadConfig } from "../../src/config.js";
import { plainTextCautions } from "../../src/config/addresses.js";
import { TwinstreamError } from "../../src/errors.js";

const test = suite("addresses and their certificates");

function refusal(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    assert.ok(error instanceof TwinstreamError);
    assert.is(error.code, "CONFIG_INVALID");
    return error.message;
  }
  return "";
}

test("each address takes its files along, and keeps what it says itself", () => {
  const config = loadConfig({
    MQTT_URL: "mqtts://ana:p%40ss@broker:8883",
    MQTT_ADMIN_URL: "mqtts://admin:secret@broker:8883",
    MQTT_TLS_CA: "/etc/tls/ca.pem",
    REDIS_URL: "rediss://ana:secret@redis:6379/2",
    REDIS_TLS_CA: "/etc/tls/ca.pem",
    REDIS_TLS_CERT: "/etc/tls/a b.pem",
    REDIS_TLS_KEY: "/etc/tls/key.pem",
    DATABASE_URL: "postgres://ana:secret@db/twinstream",
    DATABASE_READ_URL: "postgres://ana@replica/twinstream?sslmode=verify-ca",
    DATABASE_TLS_CA: "/etc/tls/ca.pem",
  });
  assert.is(
    config.MQTT_URL,
    "mqtts://ana:p%40ss@broker:8883?tls_ca=%2Fetc%2Ftls%2Fca.pem",
  );
  assert.match(config.MQTT_ADMIN_URL!, "tls_ca=");
  assert.match(config.REDIS_URL, "redis:6379/2?tls_ca=");
  assert.match(config.REDIS_URL, "tls_cert=%2Fetc%2Ftls%2Fa+b.pem&tls_key=");
  assert.match(config.DATABASE_URL, "sslmode=verify-full");
  assert.match(config.DATABASE_URL, "sslrootcert=%2Fetc%2Ftls%2Fca.pem");
  assert.match(config.DATABASE_READ_URL!, "sslmode=verify-ca&sslrootcert=");
});

test("without certificates no address is touched", () => {
  const REDIS_URL = "redis://:p@ss@127.0.0.1";
  const DATABASE_URL = "postgres://a:b%20c@host/db?options=-c%20x=1";
  const config = loadConfig({ REDIS_URL, DATABASE_URL });
  assert.is(config.REDIS_URL, REDIS_URL);
  assert.is(config.DATABASE_URL, DATABASE_URL);
});

test("certificates for a connection in plain text are refused, whichever it is", () => {
  for (const [env, name] of [
    [{ MQTT_URL: "mqtt://broker", MQTT_TLS_CA: "x" }, "MQTT_URL"],
    [{ REDIS_URL: "redis://host", REDIS_TLS_CA: "x" }, "REDIS_URL"],
    [{ KAFKA_TLS_CA: "x" }, "KAFKA_TLS is off"],
    [{ MINIO_TLS_CA: "x" }, "MINIO_ENDPOINT"],
    [
      {
        DATABASE_URL: "postgres://host/db?sslmode=disable",
        DATABASE_TLS_CA: "x",
      },
      "sslmode=disable",
    ],
  ] as const) {
    const text = refusal(env);
    assert.match(text, "in plain text", name);
    assert.match(text, name);
  }
});

test("a certificate without its key, half a log-in and a mode that falls back are refused", () => {
  const tls = { REDIS_URL: "rediss://host", REDIS_TLS_CERT: "x" };
  assert.match(refusal(tls), "REDIS_TLS_CERT and REDIS_TLS_KEY go together");
  assert.match(
    refusal({ KAFKA_SASL_USERNAME: "ana" }),
    "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD go together",
  );
  assert.match(
    refusal({ KAFKA_SASL_MECHANISM: "gssapi" }),
    "one of plain, scram-sha-256, scram-sha-512",
  );
  assert.match(
    refusal({ DATABASE_URL: "postgres://host/db?sslmode=prefer" }),
    "sslmode=prefer",
  );
});

test("no secret is in what is said of bad settings", () => {
  const text = refusal({
    KAFKA_SASL_PASSWORD: "hidden-1",
    DATABASE_URL: "postgres://ana:hidden-2@host/db?sslmode=allow",
    MQTT_URL: "mqtt://ana:hidden-3@host",
    MQTT_TLS_CA: "x",
  });
  assert.ok(text.length > 100);
  assert.not.match(text, "hidden-");
});

test("production refuses a password in the clear, and says what else crosses the network so", () => {
  const sasl = {
    KAFKA_SASL_MECHANISM: "plain",
    KAFKA_SASL_USERNAME: "ana",
    KAFKA_SASL_PASSWORD: "secret",
  };
  assert.match(
    refusal({ NODE_ENV: "production", ...sasl }),
    "sends the password in the clear",
  );
  assert.is(refusal(sasl), "");

  const far = loadConfig({
    MQTT_URL: "mqtt://broker",
    KAFKA_BROKERS: "127.0.0.1:9092, log-1:9092",
    REDIS_URL: "redis://redis",
    DATABASE_URL: "postgres://db/twinstream?sslmode=require",
    STORAGE_TYPE: "minio",
    MINIO_ENDPOINT: "http://store:9000",
  });
  const told = plainTextCautions(far).map((line) => line.split(" ")[0]);
  assert.equal(told, [
    "MQTT_URL",
    "REDIS_URL",
    "DATABASE_URL",
    "KAFKA_BROKERS",
    "MINIO_ENDPOINT",
  ]);
  assert.equal(plainTextCautions(loadConfig({})), []);
});

test.run();
