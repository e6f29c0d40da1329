// The services as containers of deploy/compose/compose.yaml.
import { fileURLToPath } from "node:url";
import { mqttPasswords, mqttUrls } from "../stack/mqtt-log-in.mjs";
import { run } from "../stack/processes.mjs";
import { lastLines, since } from "../stack/say.mjs";

const FILE = fileURLToPath(new URL("compose.yaml", import.meta.url));
/** Of the file's profiles, those that the stack is made of. */
const PROFILES = { COMPOSE_PROFILES: "core,tools" };

/**
 * Of one stack.
 * @typedef {object} Place
 * @property {string} project compose's name for it
 * @property {Record<string, number>} ports
 * @property {string} root its data folder
 * @property {boolean} logIn whether the MQTT broker asks for a log-in
 */

/**
 * Our names for the services, beside the compose file's.
 * @type {Record<string, { container: string, beside: string[],
 *   volume: string, url: (place: Place) => string,
 *   more?: (place: Place) => Record<string, string> }>}
 */
const CONTAINERS = {
  kafka: {
    container: "redpanda",
    beside: ["console"],
    volume: "redpanda",
    url: ({ ports }) => `127.0.0.1:${ports.kafka}`,
  },
  redis: {
    container: "redis",
    beside: [],
    volume: "redis",
    url: ({ ports }) => `redis://127.0.0.1:${ports.redis}`,
  },
  postgres: {
    container: "timescaledb",
    beside: [],
    volume: "timescaledb",
    url: ({ ports }) =>
      `postgres://twinstream:twinstream@127.0.0.1:${ports.postgres}/twinstream`,
  },
  mqtt: {
    container: "mosquitto",
    beside: [],
    volume: "mosquitto",
    url: ({ ports, root, logIn }) =>
      logIn ? mqttUrls(root, ports.mqtt).url : `mqtt://127.0.0.1:${ports.mqtt}`,
    more: ({ ports, root, logIn }) =>
      logIn ? { MQTT_ADMIN_URL: mqttUrls(root, ports.mqtt).adminUrl } : {},
  },
  minio: {
    container: "minio",
    beside: [],
    volume: "minio",
    url: ({ ports }) => `http://127.0.0.1:${ports.minio}`,
    // As compose.yaml has them.
    more: () => ({
      STORAGE_TYPE: "minio",
      MINIO_ACCESS_KEY: process.env.MINIO_ACCESS_KEY || "minioadmin",
      MINIO_SECRET_KEY: process.env.MINIO_SECRET_KEY || "minioadmin",
    }),
  },
};

/**
 * Whether a Docker engine answers, with compose. A `docker` command alone
 * proves nothing: it is only the client.
 * @param {(line: string) => void} say
 * @returns {Promise<boolean>}
 */
export async function dockerAnswers(say) {
  const began = Date.now();
  const engine = await run(
    "docker",
    ["info", "--format", "{{.ServerVersion}}"],
    { timeoutMs: 5_000 },
  );
  if (engine.output.includes("ENOENT")) return false;
  if (engine.code !== 0 || !/^\d/.test(engine.stdout)) {
    say(`docker: the command is here, but no engine answers it`);
    return false;
  }
  const compose = await run("docker", ["compose", "version"], {
    timeoutMs: 5_000,
  });
  if (compose.code !== 0) {
    say("docker: an engine answers, but `docker compose` is missing");
    return false;
  }
  const version = engine.stdout.trim();
  say(`docker: engine ${version} answers after ${since(began)}`);
  return true;
}

/** The ports that the services need on this machine. @param {string[]} names */
export function dockerPortNames(names) {
  return names.flatMap((name) => {
    if (name === "kafka") return [name, "console"];
    return name === "minio" ? [name, "minio_console"] : name;
  });
}

/**
 * @param {string[]} names of services
 * @param {Place} place
 * @param {(line: string) => void} say
 * @param {AbortSignal} signal
 */
export function dockerServices(names, place, say, signal) {
  const { project, ports, root, logIn } = place;
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, ...PROFILES };
  if (logIn) env.MQTT_ADMIN_PASSWORD = mqttPasswords(root).control;
  for (const [name, port] of Object.entries(ports))
    env[`${name.toUpperCase()}_PORT`] = String(port);

  /** @param {string[]} args */
  async function compose(...args) {
    const line = ["compose", "-p", project, "-f", FILE, ...args];
    const { code, output } = await run("docker", line, { env });
    if (code !== 0)
      throw new Error(
        `docker ${line.join(" ")} failed; look at its logs with ` +
          `\`docker compose -p ${project} logs\`, or set ` +
          `TWINSTREAM_SERVICES=native to do without Docker\n` +
          lastLines(output),
      );
  }

  const all = names.flatMap((name) => {
    const { container, beside } = containerOf(name);
    return [container, ...beside];
  });
  /** All come up by one command the first time. @type {Promise<void> | null} */
  let first = null;

  return names.map((name) => {
    const { container, beside, volume, url, more } = containerOf(name);
    let started = false;
    return {
      name,
      url: url(place),
      more: more?.(place) ?? {},
      how: /** @type {const} */ ("docker"),
      pid: null,
      ...(name === "kafka" && {
        page: `http://127.0.0.1:${ports.console} (Redpanda Console)`,
      }),
      ...(name === "minio" && {
        page: `http://127.0.0.1:${ports.minio_console} (MinIO Console)`,
      }),
      ports: [ports[name] ?? 0],
      async start() {
        const began = Date.now();
        signal.throwIfAborted();
        first ??= compose("up", "-d", "--wait", ...all);
        if (started) await compose("up", "-d", "--wait", container);
        else await first;
        started = true;
        say(`${name}: ${container} is healthy after ${since(began)}`);
      },
      async stop() {
        const began = Date.now();
        await compose("stop", container, ...beside);
        say(`${name}: stopped in ${since(began)}`);
      },
      /** @param {NodeJS.Signals} [sent] */
      async kill(sent = "SIGKILL") {
        if (sent === "SIGSTOP") return compose("pause", container);
        if (sent === "SIGCONT") return compose("unpause", container);
        return compose("kill", "-s", sent, container);
      },
      async wipe() {
        await compose("rm", "--stop", "--force", container, ...beside);
        await run("docker", ["volume", "rm", "-f", `${project}_${volume}`]);
      },
      /** Docker starts it again by itself. @param {() => void} _listener */
      onDeath(_listener) {},
    };
  });
}

/**
 * Stops what a killed launcher has left, so that its ports are free again.
 * @param {string} project
 */
export async function stopLeftContainers(project) {
  await run("docker", ["compose", "-p", project, "-f", FILE, "stop"], {
    env: { ...process.env, ...PROFILES },
  });
}

/** @param {string} name */
function containerOf(name) {
  const entry = CONTAINERS[name];
  if (!entry) throw new Error(`no container for ${name}`);
  return entry;
}
