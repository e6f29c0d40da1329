// mosquitto on loopback: open to everybody for tests, with log-ins under
// `npm start`. What it keeps for an absent bridge is bounded by bytes, never by
// a count: with its default count it kept 1,000 of 3,000 messages.
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  firstAccounts,
  mqttPasswords,
  mqttUrls,
} from "../stack/mqtt-log-in.mjs";
import { mqttAnswers } from "../stack/probe.mjs";
import { giveFile } from "./place.mjs";
import { findProgram } from "./programs.mjs";

const SHARED = new URL("../compose/mosquitto.conf", import.meta.url);
const PLUGIN = "mosquitto_dynamic_security.so";

/** @type {import("./service.mjs").Definition} */
export const mqtt = {
  name: "mqtt",
  setting: "MQTT_URL",
  portNames: ["mqtt"],
  accounts: ["mosquitto"],
  stopSignal: "SIGTERM",

  async missing() {
    return findProgram("mosquitto") ? [] : ["mosquitto", "mosquitto-clients"];
  },

  async prepare({ root, folder, ports, account, logIn, lines }) {
    const file = join(folder, "mosquitto.conf");
    // The container's settings hold here too, but for its place and port.
    const settings = readFileSync(SHARED, "utf8")
      .replace(/^listener .*$/m, `listener ${ports.mqtt} 127.0.0.1`)
      .replace(/^persistence_location .*$/m, `persistence_location ${folder}/`)
      .replace(/^allow_anonymous .*$/m, (open) =>
        logIn ? logInSettings(folder) : open,
      );
    if (logIn) keepAccounts(root, folder, account);
    writeFileSync(file, settings + lines(ports), { mode: 0o600 });
    giveFile(account, file);
    return logIn ? "mosquitto, with log-ins," : "mosquitto";
  },

  async command({ folder }) {
    const file = findProgram("mosquitto") ?? "mosquitto";
    return { file, args: ["-c", join(folder, "mosquitto.conf")] };
  },

  url: ({ root, ports, logIn }) =>
    logIn ? mqttUrls(root, ports.mqtt).url : `mqtt://127.0.0.1:${ports.mqtt}`,
  more: ({ root, ports, logIn }) =>
    logIn ? { MQTT_ADMIN_URL: mqttUrls(root, ports.mqtt).adminUrl } : {},
  answers: ({ ports }) => mqttAnswers(ports.mqtt ?? 0),
};

/** @param {string} folder */
function logInSettings(folder) {
  return [
    "allow_anonymous false",
    `plugin ${findPlugin()}`,
    `plugin_opt_config_file ${accountsFile(folder)}`,
  ].join("\n");
}

/** @param {string} folder */
const accountsFile = (folder) => join(folder, "dynamic-security.json");

/**
 * The broker writes the file anew at each change; it is made once, and whole.
 * @param {string} root @param {string} folder
 * @param {import("./place.mjs").Account} account
 */
function keepAccounts(root, folder, account) {
  const file = accountsFile(folder);
  if (existsSync(file)) return;
  const { control } = mqttPasswords(root);
  writeFileSync(`${file}.first`, firstAccounts(control), { mode: 0o600 });
  giveFile(account, `${file}.first`);
  renameSync(`${file}.first`, file);
}

/** Where packages put it: /usr/lib/<architecture>/, or /usr/lib/. */
function findPlugin() {
  const libraries = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];
  const inside = libraries
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => [
      folder,
      ...readdirSync(folder, { withFileTypes: true })
        .filter(
          (entry) => entry.isDirectory() && entry.name.includes("-linux-"),
        )
        .map((entry) => join(folder, entry.name)),
    ]);
  const found = inside
    .map((folder) => join(folder, PLUGIN))
    .find((file) => existsSync(file));
  if (!found)
    throw new Error(
      `mqtt: this Mosquitto has no ${PLUGIN} (2.0 or later has it); install ` +
        "one that has, start a Docker engine, or give MQTT_URL",
    );
  return found;
}
