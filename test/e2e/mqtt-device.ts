/** One device of a test: publishes what it is told to, and keeps the commands that reach it. */
import mqtt from "mqtt";
import type { Running } from "../support/fleet.js";
import { until } from "../support/wait.js";

export interface DeviceCommand {
  readonly cmd_id: string;
  readonly [key: string]: unknown;
}

export interface Ack {
  readonly cmd_id: string;
  readonly ok: boolean;
  /** ISO 8601. */
  readonly ts_exec: string;
  readonly err: string | null;
}

export interface MqttDevice {
  readonly id: string;
  /** As they came, repetitions too. */
  readonly commands: readonly DeviceCommand[];
  /** Each resolves with the broker's PUBACK. */
  hello(): Promise<void>;
  data(payload: object): Promise<void>;
  ack(ack: Ack): Promise<void>;
  /** Waits until a command has come so many times. */
  heard(cmdId: string, times?: number): Promise<DeviceCommand>;
  /** Calls back with each command, at once. */
  onCommand(listener: (command: DeviceCommand) => void): void;
}

/** Connects and subscribes to its commands. It leaves when the test ends. */
export async function connectDevice(
  running: Pick<Running, "env" | "onEnd">,
  id: string,
): Promise<MqttDevice> {
  const client = await mqtt.connectAsync(running.env["MQTT_URL"]!, {
    protocolVersion: 5,
    clientId: id,
    reconnectPeriod: 200,
  });
  running.onEnd(() => client.endAsync(true));
  // A lost connection is part of some tests; mqtt.js comes back by itself.
  client.on("error", () => undefined);
  const commands: DeviceCommand[] = [];
  const listeners: ((command: DeviceCommand) => void)[] = [];
  client.on("message", (_topic, payload) => {
    const command = JSON.parse(payload.toString()) as DeviceCommand;
    commands.push(command);
    for (const listener of listeners) listener(command);
  });
  await client.subscribeAsync(`devices/${id}/commands`, { qos: 1 });
  const publish = async (kind: string, payload: string): Promise<void> => {
    await client.publishAsync(`devices/${id}/${kind}`, payload, { qos: 1 });
  };
  return {
    id,
    commands,
    hello: () => publish("hello", ""),
    data: (payload) => publish("data", JSON.stringify(payload)),
    ack: (ack) => publish("ack", JSON.stringify({ schema: "v1", ...ack })),
    heard: (cmdId, times = 1) =>
      until(
        () => {
          const same = commands.filter(({ cmd_id }) => cmd_id === cmdId);
          return same.length >= times && same.at(-1)!;
        },
        { withinMs: 20_000, what: `${id} to hear ${cmdId} ${times} times` },
      ),
    onCommand: (listener) => void listeners.push(listener),
  };
}

/** A v1 message of one number. */
export const reading = (name: string, value: number, atMs: number): object => ({
  schema: "v1",
  ts: new Date(atMs).toISOString(),
  points: [{ name, t: "num", v: value }],
});
