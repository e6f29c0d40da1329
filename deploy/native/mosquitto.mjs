// mosquitto, anonymous on loopback. What it keeps for an absent bridge is
// bounded by bytes, never by a count: with its default count it kept 1,000 of
// 3,000 messages.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mqttAnswers } from "../stack/probe.mjs";
import { giveFile } from "./place.mjs";
import { findProgram } from "./programs.mjs";

const SHARED = new URL("../compose/mosquitto.conf", import.meta.url);

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

  async prepare({ folder, ports, account }) {
    const file = join(folder, "mosquitto.conf");
    // The container's settings hold here too, but for its place and port.
    const settings = readFileSync(SHARED, "utf8")
      .replace(/^listener .*$/m, `listener ${ports.mqtt} 127.0.0.1`)
      .replace(/^persistence_location .*$/m, `persistence_location ${folder}/`);
    writeFileSync(file, settings, { mode: 0o600 });
    giveFile(account, file);
    return "mosquitto";
  },

  async command({ folder }) {
    const file = findProgram("mosquitto") ?? "mosquitto";
    return { file, args: ["-c", join(folder, "mosquitto.conf")] };
  },

  url: ({ ports }) => `mqtt://127.0.0.1:${ports.mqtt}`,
  answers: ({ ports }) => mqttAnswers(ports.mqtt ?? 0),
};
