/** Devices that publish numbered messages at QoS 1 and keep a ledger of those that got their PUBACK. */
import mqtt from "mqtt";

export interface MqttFleet {
  /** Payloads by device that the broker has acknowledged, in the order in which they were sent. */
  readonly ledger: ReadonlyMap<string, readonly string[]>;
  readonly acknowledged: () => number;
  /** Publishes so many messages over all devices; resolves when each has its PUBACK. */
  readonly publish: (count: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** `prefix` starts every device's id. A client publishes for its share of the devices, `inFlight` at a time. */
export async function startMqttFleet(
  url: string,
  {
    prefix,
    devices = 40,
    clients = 4,
    inFlight = 200,
  }: { prefix: string; devices?: number; clients?: number; inFlight?: number },
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
      const device = `${prefix}-${(i * clients + share) % devices}`;
      const payload = `{"n": ${(sent += 1)}, "of":"${device}", "pad":"${"x".repeat(60)}"}`;
      underWay += 1;
      connection.publish(
        `devices/${device}/data`,
        payload,
        { qos: 1 },
        (error) => {
          if (error) failures.push(error);
          else acknowledge(device, payload);
          underWay -= 1;
          room();
        },
      );
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
