/** A backlog on the log, and the watch over who works it off. */
import type { Admin } from "kafkajs";
import { connectLog } from "../../../src/adapters/kafka/connect.js";
import { createLogWriter } from "../../../src/adapters/kafka/writer.js";
import { encodeEnvelope } from "../../../src/domain/envelope.js";
import { HEADER } from "../../../src/domain/message.js";
import { TOPIC } from "../../../src/domain/names.js";
import type { OutgoingRecord } from "../../../src/ports.js";
import { someTrace } from "../../support/collector.js";
import { until } from "../../support/wait.js";

export interface Backlog {
  readonly messages: number;
  readonly devices: number;
  /** Of each message. */
  readonly points: number;
  /** One message in so many is of a trace of its own; none unless told. */
  readonly tracedEvery?: number;
}

const RECORDS = 5000;

export const connection = (brokers: string) =>
  connectLog({ brokers: [brokers], clientId: "bench", log: () => undefined });

/** A v1 message of so many points. */
export function payloadOf(
  device: number,
  round: number,
  points: number,
  atMs: number,
): Buffer {
  const list = Array.from({ length: points }, (_, i) => ({
    name: `point_${i}`,
    t: "float",
    v: Math.round((20 + device / 100 + (round % 50) / 10 + i) * 100) / 100,
    u: "°C",
  }));
  const ts = new Date(atMs).toISOString();
  return Buffer.from(
    JSON.stringify({ schema: "v1", ts, points: list, meta: { fw: "1.0" } }),
  );
}

export const deviceName = (device: number): string =>
  `bench-${String(device).padStart(6, "0")}`;

/** Puts it on `iot-data` in rounds over the devices, a device's messages a second apart and in the past; answers its bytes. */
export async function fill(
  brokers: string,
  { messages, devices, points, tracedEvery }: Backlog,
): Promise<number> {
  const writer = createLogWriter(connection(brokers));
  const rounds = Math.ceil(messages / devices);
  const startMs = Date.now() - rounds * 1000;
  let records: OutgoingRecord[] = [];
  let bytes = 0;
  for (let n = 0; n < messages; n++) {
    const device = n % devices;
    const round = Math.floor(n / devices);
    const deviceId = deviceName(device);
    const value = encodeEnvelope({
      tenant: "default",
      deviceId,
      site: null,
      kind: "data",
      payload: payloadOf(device, round, points, startMs + round * 1000),
      arrivalMs: Date.now(),
    });
    const headers =
      tracedEvery !== undefined && n % tracedEvery === 0
        ? { headers: { [HEADER.traceparent]: someTrace().traceparent } }
        : {};
    records.push({ key: deviceId, value, ...headers });
    bytes += value.length;
    if (records.length === RECORDS || n === messages - 1) {
      await writer.append(TOPIC.data, records);
      records = [];
    }
  }
  await writer.close();
  return bytes;
}

/** Resolves once the group has so many members that hold partitions. */
export const joined = (
  admin: Admin,
  group: string,
  members = 1,
): Promise<boolean> =>
  until(
    async () => {
      const { groups } = await admin.describeGroups([group]);
      return (
        groups[0]?.state === "Stable" && groups[0].members.length >= members
      );
    },
    { withinMs: 60_000, what: `members of ${group}` },
  );

/** Records of the backlog that the group has committed. */
export async function committed(admin: Admin, group: string): Promise<number> {
  const [of] = await admin.fetchOffsets({
    groupId: group,
    topics: [TOPIC.data],
  });
  return of!.partitions.reduce(
    (sum, { offset }) => sum + Math.max(0, Number(offset)),
    0,
  );
}
