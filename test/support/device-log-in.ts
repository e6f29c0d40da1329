/** Clients that log in to the broker as devices do. */
import mqtt, { type MqttClient } from "mqtt";
import { within } from "./wait.js";

export interface LogIn {
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
}

const MS = 10_000;

/** Resolves with the connected client, or with the reason of the broker's refusal. Does not come back by itself. */
export function logIn(url: string, as: LogIn): Promise<MqttClient | number> {
  const { hostname, port } = new URL(url);
  const answered = new Promise<MqttClient | number>((resolve) => {
    const client = mqtt.connect(`mqtt://${hostname}:${port}`, {
      ...as,
      protocolVersion: 5,
      reconnectPeriod: 0,
      clean: true,
    });
    client.once("connect", () => resolve(client));
    client.on("error", (error) => {
      client.end(true);
      resolve("code" in error ? Number(error.code) : -1);
    });
    client.once("close", () => resolve(-1));
  });
  return within(MS, answered, `the broker's answer to ${as.username}`);
}

/** Logs in, uses the client, leaves. @throws when the broker refuses */
export async function loggedIn<T>(
  url: string,
  as: LogIn,
  work: (client: MqttClient) => Promise<T>,
): Promise<T> {
  const client = await logIn(url, as);
  if (typeof client === "number")
    throw new Error(`${as.username} was refused: ${client}`);
  try {
    return await work(client);
  } finally {
    await client.endAsync(true);
  }
}

/**
 * Whether the broker takes a message there. Mosquitto 2.0.11 closes the connection after one that it refuses, where its queue
 * has no limit on messages, so a client that was refused is of no use any more.
 */
export const mayPublish = (
  client: MqttClient,
  topic: string,
): Promise<boolean> =>
  within(
    MS,
    Promise.race([
      client.publishAsync(topic, "1", { qos: 1 }).then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) =>
        client.once("close", () => resolve(false)),
      ),
    ]),
    `the broker's answer on ${topic}`,
  );

export const maySubscribe = (
  client: MqttClient,
  filter: string,
): Promise<boolean> =>
  within(
    MS,
    client.subscribeAsync(filter, { qos: 1 }).then(
      () => true,
      () => false,
    ),
    `the broker's answer to ${filter}`,
  );
