/** A stack whose services also speak TLS and ask for a log-in: ports of theirs beside the plain ones. */
import { readFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Certificates,
  keyForPostgres,
  type Pair,
  withCertificates,
} from "./certificates.js";
import { freePort } from "./roles.js";
import { type Stack, withOwnStack } from "./services.js";

export interface Encrypted {
  readonly stack: Stack;
  readonly certificates: Certificates;
  /** By what is to be found there. */
  readonly ports: Readonly<Record<Listener, number>>;
  /** Settings with which everything works; no service is named by a plain port. */
  readonly env: Readonly<Record<string, string>>;
}

const LISTENERS = [
  /** Asks for a client's certificate. */
  "mqtt",
  "mqttOpen",
  /** With a certificate for another host. */
  "mqttElsewhere",
  "mqttExpired",
  "redis",
  /** SASL_SSL. */
  "kafka",
  /** SSL, asks for a client's certificate. */
  "kafkaMutual",
] as const;
type Listener = (typeof LISTENERS)[number];
type Ports = Readonly<Record<Listener, number>>;

export const USER = "twinstream";
export const SECRET = "correct-horse-battery";

export async function withEncrypted(
  work: (ground: Encrypted) => Promise<void>,
): Promise<void> {
  await withCertificates(async (certificates) => {
    const ports = Object.fromEntries(
      await Promise.all(
        LISTENERS.map(async (name) => [name, await freePort()] as const),
      ),
    ) as Record<Listener, number>;
    const key = join(certificates.folder, "database.key");
    await copyFile(certificates.server.key, key);
    await keyForPostgres(key);
    const { ca, server } = certificates;
    const lines = {
      mqtt: () => brokerLines(ports, certificates),
      redis: () => redisLines(ports, certificates),
      postgres: () =>
        `ssl = on\nssl_cert_file = '${server.cert}'\nssl_key_file = '${key}'\nssl_ca_file = '${ca}'\n`,
      kafka: (own: Readonly<Record<string, number>>) =>
        logLines(own, ports, certificates),
    };
    await withOwnStack(
      ["kafka", "redis", "postgres", "mqtt"],
      (stack) =>
        work({
          stack,
          certificates,
          ports,
          env: settings(stack, ports, certificates),
        }),
      { lines },
    );
  });
}

function settings(
  stack: Stack,
  ports: Ports,
  { ca, client }: Certificates,
): Record<string, string> {
  const database = new URL(stack.env["DATABASE_URL"]!);
  database.hostname = "localhost";
  return {
    MQTT_URL: `mqtts://localhost:${ports.mqtt}`,
    MQTT_TLS_CA: ca,
    MQTT_TLS_CERT: client.cert,
    MQTT_TLS_KEY: client.key,
    KAFKA_BROKERS: `127.0.0.1:${ports.kafka}`,
    KAFKA_TLS: "on",
    KAFKA_TLS_CA: ca,
    KAFKA_SASL_MECHANISM: "plain",
    KAFKA_SASL_USERNAME: USER,
    KAFKA_SASL_PASSWORD: SECRET,
    REDIS_URL: `rediss://${USER}:${SECRET}@localhost:${ports.redis}/0`,
    REDIS_TLS_CA: ca,
    DATABASE_URL: database.href,
    DATABASE_TLS_CA: ca,
  };
}

function brokerLines(ports: Ports, certificates: Certificates): string {
  const listener = (port: number, { cert, key }: Pair, more = "") =>
    `\nlistener ${port} 127.0.0.1\ncertfile ${cert}\nkeyfile ${key}\n${more}`;
  const { server, elsewhere, expired, ca } = certificates;
  return [
    listener(ports.mqtt, server, `cafile ${ca}\nrequire_certificate true\n`),
    listener(ports.mqttOpen, server),
    listener(ports.mqttElsewhere, elsewhere),
    listener(ports.mqttExpired, expired),
  ].join("");
}

function redisLines(ports: Ports, { ca, server }: Certificates): string {
  return `tls-port ${ports.redis}
tls-cert-file ${server.cert}
tls-key-file ${server.key}
tls-ca-cert-file ${ca}
tls-auth-clients optional
user ${USER} on >${SECRET} ~* &* +@all
`;
}

/** Certificates stand in the file itself, as Kafka takes PEM. */
function logLines(
  own: Readonly<Record<string, number>>,
  ports: Ports,
  { ca, server }: Certificates,
): string {
  const inline = (path: string): string =>
    readFileSync(path, "utf8")
      .trim()
      .replaceAll("\n", String.raw`\n`);
  const secure = `SECURE://127.0.0.1:${ports.kafka},MUTUAL://127.0.0.1:${ports.kafkaMutual}`;
  const plain = `PLAINTEXT://127.0.0.1:${own["kafka"]}`;
  return `listeners=${plain},CONTROLLER://127.0.0.1:${own["kafka-controller"]},${secure}
advertised.listeners=${plain},${secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.truststore.type=PEM
ssl.keystore.certificate.chain=${inline(server.cert)}
ssl.keystore.key=${inline(server.key)}
ssl.truststore.certificates=${inline(ca)}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_${USER}="${SECRET}";
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
`;
}
