/**
 * What the checks of a run share: connections, devices of the run's own, people who may log in, and the end of it all.
 *
 * Everything that a run makes bears its name, `validate-<ulid>`. Devices are removed only once all that they sent has been
 * seen to take effect: an actor that stores later would make rows of a device that is gone.
 */
import { randomBytes } from "node:crypto";
import { ulid } from "ulid";
import { connectLog } from "../../adapters/kafka/connect.js";
import { createLogInspector } from "../../adapters/kafka/inspector.js";
import { createDeviceViewReader } from "../../adapters/redis/device-view-reader.js";
import { createValidationView } from "../../adapters/redis/validation.js";
import { createAccountsAdmin } from "../../adapters/timescale/accounts-admin.js";
import { createValidationStore } from "../../adapters/timescale/validation.js";
import { brokersOf } from "../kafka-log.js";
import type { Config } from "../../config.js";
import type { DeviceKind } from "../../domain/names.js";
import { address, DEFAULT_TENANT, deviceTopic } from "../../domain/names.js";
import { reasonOf } from "../../errors.js";
import { createPasswords } from "../../gateway/auth/passwords.js";
import { createGatewayClient } from "./gateway-client.js";
import { type Line, openLine } from "./line.js";
import { NotSo } from "./wait.js";

/** Starts the name of everything that any run makes. */
const PREFIX = "validate-";
/** Of devices of tenants other than `default`. */
const SITE = "validate";
const PASSWORD_BYTES = 24;

export interface GroundSettings {
  readonly config: Config;
  readonly mqttUrl: string;
  readonly httpUrl: string;
  readonly tenant: string;
  /** Who logs in; null makes a throw-away user. */
  readonly user: { readonly name: string; readonly password: string } | null;
  /** Readings of the throughput check. */
  readonly points: number;
}

export interface Device {
  readonly id: string;
  readonly address: string;
  topic(kind: DeviceKind | "commands"): string;
  /** All that it sent has taken effect. */
  settled: boolean;
}

export type Ground = ReturnType<typeof prepareGround>;

/** Connects lazily: what is away fails the checks that need it. */
export function prepareGround(settings: GroundSettings) {
  const { config, tenant } = settings;
  const run = `${PREFIX}${ulid().toLowerCase()}`;
  const store = createValidationStore(config.DATABASE_URL);
  const view = createValidationView(config.REDIS_URL);
  const shown = createDeviceViewReader({ url: config.REDIS_URL });
  const gateway = createGatewayClient(settings.httpUrl);
  const log = createLogInspector(
    connectLog({
      ...brokersOf(config),
      clientId: run,
      log: () => undefined,
    }),
  );
  const devices: Device[] = [];
  const lines: Line[] = [];
  const made = { users: false };

  function device(name: string): Device {
    const id = `${run}-${name}`;
    const ref = {
      tenant,
      deviceId: id,
      site: tenant === DEFAULT_TENANT ? null : SITE,
    };
    const fresh: Device = {
      id,
      address: address(tenant, id),
      settled: true,
      topic(kind) {
        const topic = deviceTopic(ref, kind, config.MQTT_TENANT_PREFIX);
        if (topic === null) throw new Error(`${id} has no topic for ${kind}`);
        return topic;
      },
    };
    devices.push(fresh);
    return fresh;
  }

  async function line(...filters: string[]): Promise<Line> {
    const opened = await openLine({
      url: settings.mqttUrl,
      clientId: `${run}-${lines.length + 1}`,
      filters,
    });
    lines.push(opened);
    return opened;
  }

  /** A user who lives as long as the run; answers the password. */
  async function makeUser(
    username: string,
    role: "operator" | "admin",
    of: string,
  ): Promise<string> {
    const password = randomBytes(PASSWORD_BYTES).toString("base64url");
    const admin = createAccountsAdmin(config.DATABASE_URL);
    try {
      const hash = await createPasswords().hash(password);
      made.users = true;
      await admin.add({ username, tenant: of, role }, hash);
      return password;
    } catch (error) {
      throw new NotSo(
        `could not make a throw-away user: ${reasonOf(error)}; name one with --user`,
      );
    } finally {
      await admin.close();
    }
  }

  async function openToAll(signal: AbortSignal): Promise<boolean> {
    const { status } = await gateway.ask(signal, "/devices?limit=1");
    return status === 200;
  }

  let token: Promise<string | null> | null = null;
  /** An access token of the tenant's; null where the gateway asks for none. */
  function ownToken(signal: AbortSignal): Promise<string | null> {
    token ??= (async () => {
      if (await openToAll(signal)) return null;
      const { user } = settings;
      const name = user?.name ?? run;
      const password =
        user?.password ?? (await makeUser(name, "operator", tenant));
      return gateway.logIn(signal, name, password);
    })();
    return token;
  }

  /** An access token of an admin of a tenant that this makes. */
  async function strangersToken(signal: AbortSignal): Promise<string> {
    const name = `${run}-other`;
    return gateway.logIn(signal, name, await makeUser(name, "admin", name));
  }

  /** Ends the connections, removes what can be, and answers what is left, as a person reads it. */
  async function end(): Promise<string[]> {
    const left: string[] = [];
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        left.push(`${what}: ${reasonOf(error)}`);
      }
    };
    await Promise.allSettled(lines.map((one) => one.close()));
    if (made.users)
      await attempt(`users and tenants named ${run}`, () =>
        store.removeUsers(run),
      );
    const settled = devices.filter((one) => one.settled);
    if (settled.length > 0)
      await attempt(`devices named ${run}-…`, () => remove(tenant, settled));
    const unsettled = devices.filter((one) => !one.settled);
    if (unsettled.length > 0)
      left.push(
        `devices of which not everything has taken effect yet: ${unsettled.map(({ id }) => id).join(", ")}`,
      );
    await Promise.allSettled([
      store.close(),
      view.close(),
      shown.close(),
      log.close(),
    ]);
    return left;
  }

  async function remove(
    of: string,
    some: readonly Pick<Device, "id" | "address">[],
  ): Promise<void> {
    await store.removeDevices(
      of,
      some.map(({ id }) => id),
    );
    await view.forget(
      of,
      some.map(({ id, address: at }) => ({ deviceId: id, address: at })),
    );
  }

  return {
    settings,
    run,
    tenant,
    store,
    view,
    shown,
    log,
    gateway,
    device,
    line,
    ownToken,
    strangersToken,
    end,
  };
}

/** Removes what earlier runs have left, whatever their tenants; answers how many devices. */
export async function cleanUp(config: Config): Promise<number> {
  const store = createValidationStore(config.DATABASE_URL);
  const view = createValidationView(config.REDIS_URL);
  try {
    const found = await store.devices(PREFIX);
    for (const tenant of new Set(found.map((one) => one.tenant))) {
      const ids = found
        .filter((one) => one.tenant === tenant)
        .map(({ device }) => device);
      await store.removeDevices(tenant, ids);
      await view.forget(
        tenant,
        ids.map((deviceId) => ({
          deviceId,
          address: address(tenant, deviceId),
        })),
      );
    }
    await store.removeUsers(PREFIX);
    return found.length;
  } finally {
    await Promise.all([store.close(), view.close()]);
  }
}
