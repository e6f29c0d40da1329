/**
 * Commands to devices: QoS 1, expiring at the broker when the command does, each answered by the broker's PUBACK.
 *
 * Tried on mosquitto 2.0.11 over MQTT 5: PUBACK reason 16 (no matching subscribers) comes when nothing is subscribed to the
 * device's topic; a device that is away but left a session with the subscription counts as a subscriber (reason 0, the
 * broker queues for it), and so does anyone who listens to `#`. Over MQTT 3.1.1 a PUBACK has no reason: always "delivered".
 */
import { randomUUID } from "node:crypto";
import type { DeviceRef } from "../../domain/device.js";
import type { CommandRequest } from "../../domain/message.js";
import { deviceTopic } from "../../domain/names.js";
import { TwinstreamError, reasonOf } from "../../errors.js";
import type { CommandLink, Delivery } from "../../ports.js";
import {
  type MqttSettings,
  connectMqtt,
  disconnectMqtt,
  unreachable,
} from "./connect.js";

export interface CommandLinkSettings extends Omit<
  MqttSettings,
  "role" | "clientId"
> {
  /** Start of the client id; the rest is random, two processors must never take over each other's connection. */
  readonly name: string;
  /** MQTT_TENANT_PREFIX. */
  readonly prefix: string;
}

const ROLE = "commands";
const NO_SUBSCRIBER = 16;
/** A broker that leaves a PUBACK out for this long has lost it: the connection is given up, and with it all under way. */
const PUBACK_TIMEOUT_MS = 10_000;
/** Publishes under way at most: what the broker's receive maximum says, or this (the least default of the known brokers). */
const DEFAULT_IN_FLIGHT = 10;
/** Sends that wait for their turn at most, while connected. */
const MAX_WAITING = 10_000;

interface Send {
  readonly topic: string;
  readonly payload: string;
  readonly cmdId: string;
  readonly traceparent: string | undefined;
  /** On the clock that only goes forward, milliseconds. */
  readonly expiresMs: number;
  resolve(delivery: Delivery): void;
  reject(error: Error): void;
}

export function createCommandLink(settings: CommandLinkSettings): CommandLink {
  const client = connectMqtt(
    {
      ...settings,
      role: ROLE,
      clientId: `${settings.name}-commands-${randomUUID().slice(0, 8)}`,
    },
    { clean: true },
  );
  const waiting: Send[] = [];
  let inFlight = 0;
  /** Reason of the PUBACK being handled; mqtt.js gives its callback the packet that was sent instead. */
  let answer = 0;

  client.on("packetreceive", (packet) => {
    if (packet.cmd === "puback") answer = packet.reasonCode ?? 0;
  });
  client.on("close", () => {
    // mqtt.js would send these again after a reconnect, when their sender was long told that they failed.
    for (const id of Object.keys(client.outgoing))
      client.removeOutgoingMessage(Number(id));
    for (const send of waiting.splice(0))
      send.reject(unreachable("the connection was lost"));
  });

  /** Looked at here, whatever the broker can do: it may have waited for its turn, and MQTT 3.1.1 knows no expiry. */
  function publish(send: Send): void {
    const leftMs = send.expiresMs - performance.now();
    if (leftMs <= 0) return send.reject(overdue(send.cmdId));
    inFlight += 1;
    const unanswered = setTimeout(
      () => client.stream.destroy(),
      PUBACK_TIMEOUT_MS,
    );
    client.publish(
      send.topic,
      send.payload,
      {
        qos: 1,
        properties: {
          // Whole seconds, and none would mean for ever: never later than the command, unless less than a second is left.
          messageExpiryInterval: Math.max(1, Math.floor(leftMs / 1000)),
          payloadFormatIndicator: true,
          contentType: "application/json",
          ...(send.traceparent !== undefined && {
            userProperties: { traceparent: send.traceparent },
          }),
        },
      },
      (error) => {
        clearTimeout(unanswered);
        inFlight -= 1;
        if (error) send.reject(unreachable(whyRefused(error)));
        else
          send.resolve(
            answer === NO_SUBSCRIBER ? "no_subscriber" : "delivered",
          );
        next();
      },
    );
  }

  function next(): void {
    const limit = client.serverProperties?.receiveMaximum ?? DEFAULT_IN_FLIGHT;
    while (client.connected && inFlight < limit) {
      const send = waiting.shift();
      if (send === undefined) return;
      publish(send);
    }
  }

  function send(
    device: DeviceRef,
    request: CommandRequest,
    now: number,
  ): Promise<Delivery> {
    const leftMs = request.expiresUs / 1000 - now;
    const topic = deviceTopic(device, "commands", settings.prefix);
    return new Promise((resolve, reject) => {
      if (leftMs <= 0) return reject(overdue(request.cmdId));
      // A tenant's device of unknown site: no topic of its own can have a subscriber.
      if (topic === null) return resolve("no_subscriber");
      if (!client.connected) return reject(unreachable("not connected"));
      if (waiting.length >= MAX_WAITING)
        return reject(unreachable(`${MAX_WAITING} commands wait already`));
      waiting.push({
        topic,
        payload: commandPayload(request),
        cmdId: request.cmdId,
        traceparent: request.traceparent,
        expiresMs: performance.now() + leftMs,
        resolve,
        reject,
      });
      next();
    });
  }

  return {
    send,
    connected: () => client.connected,
    close: () => disconnectMqtt(client),
  };
}

const overdue = (cmdId: string): TwinstreamError =>
  new TwinstreamError(
    "BAD_REQUEST",
    `command ${cmdId} has expired and is not sent`,
  );

function whyRefused(error: Error): string {
  if (!("code" in error)) return "the connection was lost before its answer";
  return `${reasonOf(error)} (reason ${String(error.code)})`;
}

/** The JSON a device gets (contracts, 1.3); extra keys of the request cannot replace those that every command has. */
export function commandPayload(request: CommandRequest): string {
  const command = {
    schema: "v1",
    cmd_id: request.cmdId,
    op: request.op,
    params: request.params,
    by: request.by,
    ts: new Date(request.createdUs / 1000).toISOString(),
    expires_at: new Date(request.expiresUs / 1000).toISOString(),
  };
  return JSON.stringify({ ...command, ...request.extra, ...command });
}
