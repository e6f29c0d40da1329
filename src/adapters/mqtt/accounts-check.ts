/** Whether the broker asks for a log-in, and whether its accounts can be managed from here. */
import { randomUUID } from "node:crypto";
import { advice, type Finding, fine } from "../../domain/finding.js";
import { reasonOf } from "../../errors.js";
import { connectMqtt, disconnectMqtt } from "./connect.js";
import { withControl } from "./dynamic-security.js";

interface Defaults {
  readonly acls: { acltype: string; allow: boolean }[];
}

const ANSWER_MS = 5000;

/** @param adminUrl MQTT_ADMIN_URL; null when not set. */
export async function checkAccounts(
  url: string,
  adminUrl: string | null,
): Promise<Finding[]> {
  return [await openness(url), await managed(adminUrl)];
}

async function openness(url: string): Promise<Finding> {
  if (await takesAnybody(url))
    return advice(
      "takes clients without a log-in: anybody who reaches it can speak as any device",
      "set allow_anonymous false with the dynamic security plugin, and give devices log-ins: twinstream devices --help",
    );
  return fine("takes no client without a log-in");
}

async function managed(adminUrl: string | null): Promise<Finding> {
  if (adminUrl === null)
    return advice(
      "MQTT_ADMIN_URL is not set: devices' accounts cannot be managed from here",
      "set it to MQTT_URL with the control user of Mosquitto's dynamic security plugin; with another broker use its own tools",
    );
  try {
    const open = await withControl(adminUrl, async (ask) => {
      const answers = await ask([{ command: "getDefaultACLAccess" }]);
      return answers
        .flatMap(({ data }) => (data as Defaults).acls)
        .filter(({ acltype, allow }) => allow && OPEN_TO_ALL.has(acltype))
        .map(({ acltype }) => acltype);
    });
    return open.length === 0
      ? fine(
          "its dynamic security plugin answers, and allows only what it is told to",
        )
      : advice(
          `its dynamic security plugin allows ${open.join(" and ")} to everybody unless told otherwise`,
          `mosquitto_ctrl dynsec setDefaultACLAccess ${open[0]} deny`,
        );
  } catch (error) {
    return advice(reasonOf(error), "devices' accounts are managed elsewhere");
  }
}

/** What must not be allowed unasked, or no device is kept from another's topics. */
const OPEN_TO_ALL: ReadonlySet<string> = new Set([
  "publishClientSend",
  "subscribe",
]);

function takesAnybody(url: string): Promise<boolean> {
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return new Promise((resolve) => {
    const client = connectMqtt(
      {
        url: bare.href,
        clientId: `twinstream-check-${randomUUID()}`,
        role: "check",
        observer: { emit: () => undefined },
      },
      { clean: true, reconnectPeriod: 0 },
    );
    const settle = (taken: boolean): void => {
      clearTimeout(late);
      void disconnectMqtt(client).then(() => resolve(taken));
    };
    const late = setTimeout(() => settle(false), ANSWER_MS);
    client.once("connect", () => settle(true));
    client.once("close", () => settle(false));
  });
}
