/**
 * Every name the outside world sees, made and read in one place: MQTT topics, addresses, topics of the log, Redis keys.
 */

/** The tenant of the flat `devices/…` topics; its addresses are bare device ids. */
export const DEFAULT_TENANT = "default";

/** Topics of the log. */
export const TOPIC = {
  data: "iot-data",
  commands: "device-commands",
  uploads: "telemetry.raw",
  dataDeadLetters: "iot-data.dlq",
  uploadDeadLetters: "telemetry.raw.dlq",
  /** How far each bridge has brought its messages onto the log, by its id. */
  beats: "bridge-beats",
} as const;

/** What a record of `iot-data` carries. */
export const ENVELOPE_KINDS = [
  "data",
  "hello",
  "ack",
  "event",
  "state",
  "bulk",
  "bad_topic",
] as const;
export type EnvelopeKind = (typeof ENVELOPE_KINDS)[number];

/** What a device says, by the MQTT topic it says it on. */
export type DeviceKind = "data" | "hello" | "ack" | "event" | "state";

/** Where an MQTT topic or an envelope comes from. `site` is null for the flat topics. */
export interface DeviceName {
  readonly tenant: string;
  readonly deviceId: string;
  readonly site: string | null;
}

const SEGMENT = /^[A-Za-z0-9._:-]{1,128}$/;

/** Whether this may be a tenant, a site or a device id: 1–128 characters of `[A-Za-z0-9._:-]`. */
export const isSegment = (text: string): boolean => SEGMENT.test(text);

/** `device_id` for tenant `default`, else `tenant/device_id`: the record key, the actor's name, the last part of Redis keys. */
export const address = (tenant: string, deviceId: string): string =>
  tenant === DEFAULT_TENANT ? deviceId : `${tenant}/${deviceId}`;

/** The parts of an address; null for a text that `address` cannot have made (`default/x` is none: it is `x`). */
export function parseAddress(
  text: string,
): { readonly tenant: string; readonly deviceId: string } | null {
  const slash = text.indexOf("/");
  const tenant = slash === -1 ? DEFAULT_TENANT : text.slice(0, slash);
  const deviceId = text.slice(slash + 1);
  if (!isSegment(tenant) || !isSegment(deviceId)) return null;
  if (slash !== -1 && tenant === DEFAULT_TENANT) return null;
  return { tenant, deviceId };
}

/** Last segment of the topics a device speaks on, flat and tenant's. */
const FLAT_KINDS: ReadonlyMap<string, DeviceKind> = new Map([
  ["data", "data"],
  ["hello", "hello"],
  ["ack", "ack"],
]);
const TENANT_KINDS: ReadonlyMap<string, DeviceKind> = new Map([
  ["telem", "data"],
  ["event", "event"],
  ["state", "state"],
  ["ack", "ack"],
]);

export type ParsedTopic =
  (DeviceName & { readonly kind: DeviceKind }) | { readonly reason: string };

/** Reads an MQTT topic that a device published on, or says in words why it is none. */
export function parseTopic(topic: string, tenantPrefix: string): ParsedTopic {
  const parts = topic.split("/");
  const [root = "", first = "", second = "", third = "", last = ""] = parts;
  if (root === "devices" && parts.length === 3)
    return named(DEFAULT_TENANT, null, first, FLAT_KINDS.get(second), second);
  if (root === tenantPrefix && parts.length === 5)
    return named(first, second, third, TENANT_KINDS.get(last), last);
  return {
    reason: `expected devices/{device_id}/{hello|data|ack} or ${tenantPrefix}/{tenant}/{site}/{device}/{telem|event|state|ack}`,
  };
}

function named(
  tenant: string,
  site: string | null,
  deviceId: string,
  kind: DeviceKind | undefined,
  last: string,
): ParsedTopic {
  for (const [role, segment] of [
    ["tenant", tenant],
    ["site", site ?? DEFAULT_TENANT],
    ["device", deviceId],
  ] as const)
    if (!isSegment(segment))
      return {
        reason: `${role} ${JSON.stringify(segment.slice(0, 200))} is not 1 to 128 characters of [A-Za-z0-9._:-]`,
      };
  if (kind === undefined)
    return {
      reason: `devices do not publish on topics that end in ${JSON.stringify(last.slice(0, 200))}`,
    };
  return { tenant, site, deviceId, kind };
}

const FLAT_TOPICS = {
  data: "data",
  hello: "hello",
  ack: "ack",
  commands: "commands",
} as const;
const TENANT_TOPICS = {
  data: "telem",
  event: "event",
  state: "state",
  ack: "ack",
  commands: "cmd",
} as const;

/**
 * The MQTT topic on which a device says this, or hears its commands: flat for a device of tenant `default` without a site.
 * Null when there is none: a tenant's device whose site is unknown, a kind that its family of topics does not have.
 */
export function deviceTopic(
  device: DeviceName,
  kind: EnvelopeKind | "commands",
  tenantPrefix: string,
): string | null {
  if (device.site === null && device.tenant !== DEFAULT_TENANT) return null;
  const names: Partial<Record<EnvelopeKind | "commands", string>> =
    device.site === null ? FLAT_TOPICS : TENANT_TOPICS;
  const last = names[kind];
  if (last === undefined) return null;
  return device.site === null
    ? `devices/${device.deviceId}/${last}`
    : `${tenantPrefix}/${device.tenant}/${device.site}/${device.deviceId}/${last}`;
}

/** Where a bridge hears itself: what comes back on it has passed the broker behind all that waited there before. */
export const probeTopic = (bridgeId: string): string =>
  `twinstream/bridges/${bridgeId.replaceAll(/[/+#]/g, "_")}`;

/** Redis keys and channels, by device address. */
export const lastStateKey = (at: string): string => `device:last_state:${at}`;
export const historyKey = (at: string): string => `device:history:${at}`;
export const updatesChannel = (at: string): string => `device-updates:${at}`;

/** Sorted set of a tenant's devices by the time they were last heard of. */
export const onlineKey = (tenant: string): string =>
  tenant === DEFAULT_TENANT ? "devices:online" : `devices:online:${tenant}`;

/** Channel of devices that come and go. */
export const PRESENCE_CHANNEL = "device-presence";

/** Until when what devices said is in Redis, by partition, and until when bridges have brought it onto the log. */
export const HORIZON_KEY = "twinstream:horizon";

/** How far of a partition Redis has been written. */
export const appliedKey = (topic: string, partition: number): string =>
  `twinstream:applied:${topic}:${partition}`;
