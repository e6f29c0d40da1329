/** The account that bridge, processor and check log in with: made at a broker that knows only its control user. */
import { reasonOf, TwinstreamError } from "../../errors.js";
import { type Command, withControl } from "./dynamic-security.js";
import { subscriptions, topicFilters } from "./filters.js";

export interface ServiceAccountSettings {
  /** MQTT_ADMIN_URL; null when not set. */
  readonly adminUrl: string | null;
  /** MQTT_URL, with the account's user name and password in it. */
  readonly url: string;
  /** MQTT_TOPICS, MQTT_TENANT_PREFIX, MQTT_SHARE_GROUP. */
  readonly topics: string;
  readonly tenantPrefix: string;
  readonly shareGroup: string | undefined;
  /** Whether it may also speak and listen as any device: for a demo, never for production. */
  readonly asAnyDevice: boolean;
}

const ROLE = "twinstream service";
/** What our own processes say to themselves: the queue's check, and a bridge's beat. */
const OWN = ["twinstream/check/#", "twinstream/bridges/#"];

/**
 * Makes the account of MQTT_URL with its rights, or brings them up to date. Answers its user name.
 * @throws TwinstreamError CONFIG_INVALID (no user and password in MQTT_URL), BROKER_NO_ACCOUNTS, BROKER_UNREACHABLE
 */
export async function prepareServiceAccount(
  settings: ServiceAccountSettings,
): Promise<string> {
  const { username, password } = logInOf(settings.url);
  const acls = aclsOf(settings);
  const roles = [{ rolename: ROLE }];
  await withControl(settings.adminUrl, async (ask) => {
    const make = async (create: Command, change: Command): Promise<void> => {
      const [made] = await ask([create]);
      if (made?.error === undefined) return;
      const [changed] = await ask([change]);
      if (changed?.error !== undefined)
        throw new TwinstreamError(
          "BROKER_NO_ACCOUNTS",
          `the MQTT broker refused ${changed.command}: ${changed.error}`,
        );
    };
    const role = { rolename: ROLE, acls };
    await make(
      { command: "createRole", ...role },
      { command: "modifyRole", ...role },
    );
    const client = { username, password, roles };
    await make(
      { command: "createClient", ...client },
      { command: "modifyClient", ...client },
    );
  });
  return username;
}

function logInOf(url: string): { username: string; password: string } {
  try {
    const { username, password } = new URL(url);
    if (username !== "" && password !== "")
      return {
        username: decodeURIComponent(username),
        password: decodeURIComponent(password),
      };
  } catch (error) {
    throw new TwinstreamError(
      "CONFIG_INVALID",
      `MQTT_URL is no URL: ${reasonOf(error)}`,
      { cause: error },
    );
  }
  throw new TwinstreamError(
    "CONFIG_INVALID",
    "MQTT_URL needs the user name and password that bridge and processor are to have, like mqtt://twinstream:…@host:1883",
  );
}

function aclsOf(settings: ServiceAccountSettings): object[] {
  const { topics, tenantPrefix, shareGroup, asAnyDevice } = settings;
  const allow = (acltype: string, topic: string): object => ({
    acltype,
    topic,
    allow: true,
  });
  const filters = topicFilters(topics, tenantPrefix);
  const subscribed = subscriptions(filters, shareGroup);
  const acls = [
    ...subscribed.map((filter) => allow("subscribeLiteral", filter)),
    ...filters.map((filter) => allow("publishClientReceive", filter)),
    allow("publishClientSend", "devices/+/commands"),
    allow("publishClientSend", `${tenantPrefix}/+/+/+/cmd`),
  ];
  const all = asAnyDevice ? [...OWN, "devices/#", `${tenantPrefix}/#`] : OWN;
  for (const root of all)
    acls.push(
      allow("publishClientSend", root),
      allow("subscribePattern", root),
      allow("publishClientReceive", root),
    );
  return acls;
}
