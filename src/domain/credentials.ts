/** What a device logs in to the broker with, and what that lets it do. The password is in none of this: it is shown once. */
import { DEFAULT_TENANT, type DeviceName, deviceTopic } from "./names.js";

/**
 * - adding: noted, the broker may or may not have it yet, nobody has its password;
 * - active: what the device is to use;
 * - offered: handed to the device in a command that it has not acknowledged yet;
 * - retiring: replaced, and good until `endsMs`;
 * - revoking: to be removed from the broker, which may or may not have happened yet;
 * - revoked: gone from the broker.
 */
export type CredentialState =
  "adding" | "active" | "offered" | "retiring" | "revoking" | "revoked";

/** Left by an act that was cut off; the next act on the device, or the keeper, ends it. */
export const HALF_DONE: readonly CredentialState[] = ["adding", "revoking"];

/**
 * `tenant~device`, or `device` in tenant `default`. `~` is in no segment, so no two devices share one, and needs no escape
 * in a URL. The broker lets the device's accounts in under this client id alone, or it could take the bridge's session over.
 */
export const clientIdOf = (device: DeviceName): string =>
  device.tenant === DEFAULT_TENANT
    ? device.deviceId
    : `${device.tenant}~${device.deviceId}`;

/** The serial-th user name of the device; a serial is never used again. */
export const usernameOf = (device: DeviceName, serial: number): string =>
  `${clientIdOf(device)}~${serial}`;

export interface Rights {
  /** Exact topics. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** The device's own topics and nothing else. Null for a tenant's device without a site: it has no topics. */
export function rightsOf(
  device: DeviceName,
  tenantPrefix: string,
): Rights | null {
  const topic = (kind: Parameters<typeof deviceTopic>[1]) =>
    deviceTopic(device, kind, tenantPrefix);
  const commands = topic("commands");
  if (commands === null) return null;
  const own = (["data", "hello", "event", "state", "ack"] as const).map(topic);
  return {
    publish: own.filter((one) => one !== null),
    subscribe: [commands],
  };
}
