// Who may log in at the demo's gateway and broker.
import { randomBytes } from "node:crypto";
import { run } from "../stack/processes.mjs";
import { lastLines } from "../stack/say.mjs";

/** Who the fleet uploads as. */
const FLEET_USER = "fleet";

/**
 * Somebody who can log in, where nobody can yet. Production makes its own.
 * @param {string} program @param {string} cwd @param {NodeJS.ProcessEnv} env
 * @param {(line: string) => void} say @param {AbortSignal} signal
 */
export async function firstUser(program, cwd, env, say, signal) {
  if (env.NODE_ENV === "production" || env.AUTH === "off") return;
  const args = "users add admin --role admin --if-none --password-stdin --json";
  const { code, output, stdout } = await run(
    process.execPath,
    [program, ...args.split(" ")],
    { cwd, env, signal, input: "admin123" },
  );
  signal.throwIfAborted();
  if (code !== 0)
    throw new Error(
      `the first user could not be made:\n${lastLines(output, 10)}`,
    );
  if (JSON.parse(stdout).added)
    say("log-in: made user admin with password admin123, for this demo only");
}

/**
 * The fleet's own account for its uploads, with a password for this start
 * alone. Production has none: no account is made there unasked.
 * @param {string} program @param {string} cwd @param {NodeJS.ProcessEnv} env
 * @param {AbortSignal} signal
 * @returns {Promise<{ username?: string, password?: string } | null>} {}: no
 *   log-in is asked for; null: no uploads
 */
export async function fleetAccount(program, cwd, env, signal) {
  if (env.NODE_ENV === "production") return null;
  if (env.AUTH === "off") return {};
  const password = randomBytes(18).toString("base64url");
  /** @param {string} args */
  const users = (args) =>
    run(process.execPath, [program, "users", ...args.split(" ")], {
      cwd,
      env,
      signal,
      input: password,
    });
  const known = await users(`passwd ${FLEET_USER} --password-stdin`);
  const { code, output } =
    known.code === 0
      ? known
      : await users(`add ${FLEET_USER} --role operator --password-stdin`);
  signal.throwIfAborted();
  if (code !== 0)
    throw new Error(
      `the fleet's user could not be made:\n${lastLines(output, 10)}`,
    );
  return { username: FLEET_USER, password };
}

/**
 * The account of MQTT_URL, at a broker that knows only its control user. In
 * this demo it may also speak as any device, so that a device can be tried out
 * from a shell.
 * @param {string} program @param {string} cwd @param {NodeJS.ProcessEnv} env
 * @param {AbortSignal} signal
 */
export async function brokerAccount(program, cwd, env, signal) {
  const { code, output } = await run(
    process.execPath,
    [program, "devices", "init", "--as-any-device"],
    { cwd, env, signal },
  );
  signal.throwIfAborted();
  if (code !== 0)
    throw new Error(
      `the MQTT broker's account could not be made:\n${lastLines(output, 10)}`,
    );
}
