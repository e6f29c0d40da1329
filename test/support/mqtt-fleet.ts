/** Devices that publish numbered messages at QoS 1 and keep a ledger of those that got their PUBACK. */
import mqtt from "mqtt";
import { address, parseTopic } from "../../src/domain/names.js";

export interface MqttFleet {
  /** Payloads by device (its address) that the broker has acknowledged, in the order in which they were sent. */
  readonly ledger: ReadonlyMap<string, readonly string[]>;
  readonly acknowledged: () => number;
  /** Publishes so many messages over all devices; resolves when each has its PUBACK. */
  readonly publish: (count: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

/**
 * `prefix` starts every device's id, unless `topics` has a topic for each device. A client publishes for its share of the
 * devices, `inFlight` at a time; each device by one client, when there are a multiple of `clients`.
 */
export async function startMqttFleet(
  url: string,
  {
    prefix,
    topics = Array.from(
      { length: 40 },
      (_, n) => `devices/${prefix}-${n}/data`,
    ),
    clients = 4,
    inFlight = 200,
  }: {
    prefix: string;
    topics?: readonly string[];
    clients?: number;
    inFlight?: number;
  },
): Promise<MqttFleet> {
  const connections = await Promise.all(
    Array.from({ length: clients }, (_, i) =>
      mqtt.connectAsync(url, {
        protocolVersion: 5,
        clientId: `${prefix}-fleet-${i}`,
        reconnectPeriod: 100,
      }),
    ),
  );
  for (const connection of connections)
    // A lost connection is part of some tests; mqtt.js comes back and sends again what has no PUBACK.
    connection.on("error", () => undefined);
  const ledger = new Map<string, string[]>();
  let sent = 0;
  let acknowledged = 0;

  async function publishBy(
    connection: mqtt.MqttClient,
    share: number,
    count: number,
  ): Promise<void> {
    let underWay = 0;
    let room: () => void = () => undefined;
    const acknowledge = (device: string, payload: string) => {
      acknowledged += 1;
      const mine = ledger.get(device);
      if (mine) mine.push(payload);
      else ledger.set(device, [payload]);
    };
    const failures: unknown[] = [];
    for (let i = 0; i < count; i += 1) {
      const topic = topics[(i * clients + share) % topics.length]!;
      const device = addressOf(topic);
      const payload = `{"n": ${(sent += 1)}, "of":"${device}", "pad":"${"x".repeat(60)}"}`;
      underWay += 1;
      connection.publish(topic, payload, { qos: 1 }, (error) => {
        if (error) failures.push(error);
        else acknowledge(device, payload);
        underWay -= 1;
        room();
      });
      if (underWay >= inFlight)
        await new Promise<void>((resolve) => (room = resolve));
    }
    while (underWay > 0) await new Promise<void>((resolve) => (room = resolve));
    if (failures.length > 0) throw failures[0];
  }

  return {
    ledger,
    acknowledged: () => acknowledged,
    async publish(count) {
      await Promise.all(
        connections.map((connection, share) =>
          publishBy(connection, share, Math.ceil(count / clients)),
        ),
      );
    },
    async close() {
      await Promise.all(
        connections.map((connection) => connection.endAsync(true)),
      );
    },
  };
}

function addressOf(topic: string): string {
  const from = parseTopic(topic, "traksense");
  if ("reason" in from) throw new Error(from.reason);
  return address(from.tenant, from.deviceId);
}
