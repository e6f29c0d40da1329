// The broker's accounts where it asks for a log-in: Mosquitto's control user,
// and the one of our own processes. Everybody else is made by
// `twinstream devices`.
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const CONTROL_USER = "admin";
const SERVICE_USER = "twinstream";

/**
 * Kept outside the broker's folder, so that they outlive a wipe.
 * @param {string} root the stack's data folder
 * @returns {{ control: string, service: string }} passwords
 */
export function mqttPasswords(root) {
  const file = join(root, "mqtt-passwords.json");
  if (!existsSync(file)) {
    const make = () => randomBytes(16).toString("hex");
    const made = { control: make(), service: make() };
    writeFileSync(file, JSON.stringify(made), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(file, "utf8"));
}

/**
 * @param {string} root @param {number | undefined} port
 * @returns {{ url: string, adminUrl: string }}
 */
export function mqttUrls(root, port) {
  const { control, service } = mqttPasswords(root);
  return {
    url: `mqtt://${SERVICE_USER}:${service}@127.0.0.1:${port}`,
    adminUrl: `mqtt://${CONTROL_USER}:${control}@127.0.0.1:${port}`,
  };
}

/**
 * What `mosquitto_ctrl dynsec init` would write: a control user that may manage
 * accounts and listen, and nothing for anybody else.
 * @param {string} password of the control user
 */
export function firstAccounts(password) {
  const salt = randomBytes(12);
  // As many as Mosquitto itself uses; the password is 128 random bits, which
  // no number of rounds makes harder to guess.
  const iterations = 101;
  const hash = pbkdf2Sync(password, salt, iterations, 64, "sha512");
  const allow = (
    /** @type {string} */ acltype,
    /** @type {string} */ topic,
  ) => ({
    acltype,
    topic,
    allow: true,
  });
  const control = "$CONTROL/dynamic-security/#";
  return JSON.stringify({
    clients: [
      {
        username: CONTROL_USER,
        password: hash.toString("base64"),
        salt: salt.toString("base64"),
        iterations,
        roles: [{ rolename: "admin" }],
      },
    ],
    roles: [
      {
        rolename: "admin",
        acls: [
          allow("publishClientSend", control),
          allow("publishClientReceive", control),
          allow("subscribePattern", control),
          allow("publishClientReceive", "$SYS/#"),
          allow("subscribePattern", "$SYS/#"),
        ],
      },
    ],
    defaultACLAccess: {
      publishClientSend: false,
      publishClientReceive: true,
      subscribe: false,
      unsubscribe: true,
    },
  });
}
