/** A connection for a short visit: made or refused within a deadline, ended by whoever asked for it. */
import { randomUUID } from "node:crypto";
import type { MqttClient } from "mqtt";
import { connectMqtt, disconnectMqtt, unreachable } from "./connect.js";

export interface Visit {
  readonly url: string;
  readonly clientId: string;
  /** Milliseconds for connecting. */
  readonly withinMs: number;
  /** Seconds the broker keeps the session after it; null for one that ends with its connection. */
  readonly sessionSeconds: number | null;
  /** Called before anything can arrive. */
  readonly listen?: (client: MqttClient) => void;
}

/** Connects, or says why not. @throws TwinstreamError BROKER_UNREACHABLE, CONFIG_INVALID */
export async function visit(given: Visit): Promise<MqttClient> {
  let failed: (detail: string) => void = () => undefined;
  const client = connectMqtt(
    {
      url: given.url,
      clientId: given.clientId,
      role: "check",
      observer: {
        emit(event) {
          if (event.type === "mqtt_connection" && !event.connected)
            failed(event.detail);
        },
      },
    },
    given.sessionSeconds === null
      ? { clean: true }
      : {
          clean: false,
          properties: { sessionExpiryInterval: given.sessionSeconds },
        },
  );
  given.listen?.(client);
  let version = client.options.protocolVersion;
  const connected = new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    failed = (detail) => {
      // Going on with MQTT 3.1.1 is no failure.
      if (client.options.protocolVersion === version)
        reject(unreachable(detail));
      version = client.options.protocolVersion;
    };
  });
  try {
    await inTime(connected, given.withinMs);
    return client;
  } catch (error) {
    await disconnectMqtt(client);
    throw error;
  }
}

/** Whether the broker takes a client with this URL's name and password: CONNECT, CONNACK, DISCONNECT, and nothing is left. */
export async function greetBroker(
  url: string,
  withinMs: number,
): Promise<void> {
  const clientId = `twinstream-greeting-${randomUUID()}`;
  const client = await visit({ url, clientId, withinMs, sessionSeconds: null });
  await disconnectMqtt(client);
}

/** @throws TwinstreamError BROKER_UNREACHABLE past the deadline */
export async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(unreachable(`no answer within ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
