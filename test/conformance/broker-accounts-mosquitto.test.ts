import { createDynamicSecurity } from "../../src/adapters/mqtt/dynamic-security.js";
import { logIn } from "../support/device-log-in.js";
import { withOwnStack } from "../support/services.js";
import { brokerAccountsSuite } from "./broker-accounts.js";

brokerAccountsSuite("mosquitto", (work) =>
  withOwnStack(
    ["mqtt"],
    ({ env }) =>
      work({
        accounts: createDynamicSecurity(env["MQTT_ADMIN_URL"]!),
        async mayLogIn(account) {
          const client = await logIn(env["MQTT_URL"]!, account);
          if (typeof client === "number") return false;
          await client.endAsync(true);
          return true;
        },
      }),
    { logIn: true },
  ),
);
