/** The devices of a simulated fleet: their names and the topics they speak on. */
import { DEFAULT_TENANT, address, deviceTopic } from "../domain/names.js";

export interface SimulatedDevice {
  readonly deviceId: string;
  readonly address: string;
  readonly topics: {
    readonly data: Buffer;
    /** Flat topics: `hello`; a tenant's: `state`, which has the word `online` for it. */
    readonly hello: Buffer;
    readonly ack: Buffer;
    readonly commands: string;
  };
}

export interface Home {
  /** Null for the flat topics. */
  readonly tenant: { readonly name: string; readonly site: string } | null;
  /** MQTT_TENANT_PREFIX. */
  readonly tenantPrefix: string;
}

/** Ids keep their length up to 9,999 devices, so that a larger fleet has the smaller one's devices in it. */
const ID_DIGITS = 4;

export function fleetIds(prefix: string, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `${prefix}${String(i + 1).padStart(ID_DIGITS, "0")}`,
  );
}

export function simulatedDevice(deviceId: string, home: Home): SimulatedDevice {
  const device = {
    deviceId,
    tenant: home.tenant?.name ?? DEFAULT_TENANT,
    site: home.tenant?.site ?? null,
  };
  const topic = (kind: "data" | "hello" | "state" | "ack" | "commands") =>
    deviceTopic(device, kind, home.tenantPrefix) ?? "";
  return {
    deviceId,
    address: address(device.tenant, deviceId),
    topics: {
      data: Buffer.from(topic("data")),
      hello: Buffer.from(topic(home.tenant === null ? "hello" : "state")),
      ack: Buffer.from(topic("ack")),
      commands: topic("commands"),
    },
  };
}
