// A service that the environment names: checked, used, never touched.
import { accepts } from "./probe.mjs";

const DEFAULT_PORTS = {
  KAFKA_BROKERS: 9092,
  REDIS_URL: 6379,
  DATABASE_URL: 5432,
  MQTT_URL: 1883,
  MINIO_ENDPOINT: 9000,
};

/** @type {Record<string, number>} */
const SECURE_PORTS = { "mqtts:": 8883, "wss:": 8883, "https:": 443 };

/**
 * Where a setting's value points: one or more host and port.
 * @param {keyof typeof DEFAULT_PORTS} setting @param {string} value
 */
function addressesIn(setting, value) {
  return value.split(",").map((item) => {
    const text = item.trim();
    const url = new URL(text.includes("://") ? text : `tcp://${text}`);
    const secure = SECURE_PORTS[url.protocol];
    const port = Number(url.port) || secure || DEFAULT_PORTS[setting];
    return { host: url.hostname.replace(/^\[|\]$/g, "") || "localhost", port };
  });
}

/**
 * @param {{ name: string, setting: keyof typeof DEFAULT_PORTS }} service
 * @param {string} value the setting's value
 * @param {(line: string) => void} say
 */
export function givenService({ name, setting }, value, say) {
  const refuse = async () => {
    throw new Error(
      `${name} was given by ${setting}: it is not this program's to end`,
    );
  };
  return {
    name,
    url: value,
    more: {},
    how: /** @type {const} */ ("given"),
    pid: null,
    ports: [],
    async start() {
      let addresses;
      try {
        addresses = addressesIn(setting, value);
      } catch {
        throw new Error(
          `${name}: ${setting} is no address: ${hidePassword(value)}`,
        );
      }
      const answers = await Promise.all(
        addresses.map(({ host, port }) => accepts(host, port)),
      );
      const where = hidePassword(value);
      if (!answers.includes(true))
        throw new Error(
          `${name}: nothing answers at ${where} (from ${setting}); start it, ` +
            `correct ${setting}, or unset it to have one started here`,
        );
      say(`${name}: using ${where} (from ${setting})`);
    },
    async stop() {},
    kill: refuse,
    wipe: refuse,
    /** @param {() => void} _listener */
    onDeath(_listener) {},
  };
}

/** @param {string} url */
export function hidePassword(url) {
  return url.replace(/(:\/\/[^:/@]*):[^@]*@/g, "$1:…@");
}
