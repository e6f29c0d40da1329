/** Device credentials put together from the settings, for the command line, the gateway and the demo's fleet. */
import { randomBytes } from "node:crypto";
import { ulid } from "ulid";
import { createCommandLink } from "../adapters/mqtt/command-link.js";
import { createDynamicSecurity } from "../adapters/mqtt/dynamic-security.js";
import { createDeviceCredentials } from "../adapters/timescale/device-credentials.js";
import type { Config } from "../config.js";
import {
  createCredentials,
  type Credentials,
} from "../pipeline/credentials.js";
import { createKeeper } from "../pipeline/credentials-keeper.js";
import type { BrokerAccounts, CredentialBook } from "../ports.js";
import type { RoleBase } from "./role.js";

export interface OpenCredentials {
  readonly credentials: Credentials;
  readonly book: CredentialBook;
  readonly broker: BrokerAccounts;
  close(): Promise<void>;
}

/** 192 bits, as 32 characters that need no escape in a URL. */
const PASSWORD_BYTES = 24;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Connects to nothing before it is used. */
export function openCredentials(config: Config, name: string): OpenCredentials {
  const book = createDeviceCredentials({ url: config.DATABASE_URL, name });
  const broker = createDynamicSecurity(config.MQTT_ADMIN_URL ?? null);
  const maxAge = config.MQTT_PASSWORD_MAX_AGE_DAYS;
  const credentials = createCredentials({
    book,
    broker,
    clock: Date.now,
    newPassword: () => randomBytes(PASSWORD_BYTES).toString("base64url"),
    settings: {
      maxAgeMs: maxAge === 0 ? null : maxAge * DAY_MS,
      noticeMs: config.MQTT_PASSWORD_NOTICE_DAYS * DAY_MS,
      overlapMs: config.MQTT_PASSWORD_OVERLAP_HOURS * HOUR_MS,
      tenantPrefix: config.MQTT_TENANT_PREFIX,
    },
  });
  return { credentials, book, broker, close: () => book.close() };
}

/** For the gateway; where MQTT_ADMIN_URL is set, with the keeper, from now on. */
export function keepCredentials(base: RoleBase): Credentials {
  const { config, observer } = base;
  const open = openCredentials(config, "gateway credentials");
  base.onStop("device credentials", open.close);
  if (config.MQTT_ADMIN_URL === undefined) return open.credentials;
  const link = createCommandLink({
    url: config.MQTT_URL,
    name: "twinstream-keeper",
    prefix: config.MQTT_TENANT_PREFIX,
    observer,
  });
  base.onStop("keeper's command link", link.close);
  const keeper = createKeeper({
    ...open,
    link,
    observer,
    clock: Date.now,
    newId: () => ulid(),
  });
  base.onStop("keeper", () => keeper.stop());
  keeper.start();
  return open.credentials;
}
