// Missing programs come from Debian's packages.
import { fileURLToPath } from "node:url";
import { run } from "../stack/processes.mjs";
import { lastLines, since } from "../stack/say.mjs";
import { findProgram } from "./programs.mjs";

const SCRIPT = fileURLToPath(new URL("install-packages.sh", import.meta.url));
const ELSE =
  "or start a Docker engine, or give the services by their URLs " +
  "(KAFKA_BROKERS, REDIS_URL, DATABASE_URL, MQTT_URL)";

/**
 * @param {string[]} packages
 * @param {(line: string) => void} say
 * @param {AbortSignal} signal
 */
export async function installPackages(packages, say, signal) {
  if (packages.length === 0) return;
  const names = packages.join(" ");
  const byHand = `install them yourself (${names}), ${ELSE}`;
  if (!findProgram("apt-get"))
    throw new Error(
      `missing: ${names}, and there is no apt-get here; ${byHand}`,
    );
  const root = process.getuid?.() === 0;
  if (!root && (await run("sudo", ["-n", "true"])).code !== 0)
    throw new Error(
      `missing: ${names}, and neither root nor sudo without a password is ` +
        `at hand; ${byHand}`,
    );
  say(`installing ${names} with apt-get (their own servers are not started)`);
  const began = Date.now();
  const [file, ...args] = [...(root ? [] : ["sudo", "-n"]), "sh", SCRIPT];
  const { code, output } = await run(file ?? "sh", [...args, ...packages], {
    timeoutMs: 15 * 60_000,
    signal,
  });
  if (code !== 0)
    throw new Error(
      `apt-get could not install ${names}; ${byHand}\n${lastLines(output)}`,
    );
  say(`installed ${names} in ${since(began)}`);
}
