/**
 * The devices' side of MQTT: one connection of one device or of many, that publishes as fast as the broker acknowledges.
 *
 * mqtt.js makes the connection, keeps it, brings it back and reads from it. PUBLISH packets are encoded here and written a
 * batch at a time, for three reasons: the broker's receive maximum is honoured (mqtt.js ignores it); every attempt is known,
 * where mqtt.js repeats silently after a reconnect; and it costs half (2 cores with mosquitto 2.0.11: 155,000 messages/s
 * against 113,000 by `publish` on 4 connections, 177,000 against 74,000 on 200).
 */
import type { MqttClient } from "mqtt";
import { reasonOf } from "../../errors.js";
import { connectMqtt, unreachable } from "./connect.js";
import { encodePublish } from "./publish-packet.js";
import { createPublishWindow } from "./publish-window.js";

/** A message and its attempts; the caller's own, with whatever else it wants to know about it. */
export interface Outgoing {
  readonly topic: Buffer;
  readonly payload: Buffer;
  /** 0 until it is sent, then the number of the latest attempt. */
  attempt: number;
  /** When the latest attempt was made, by the caller's clock. */
  sentMs: number;
}

export interface DeviceClientSettings {
  readonly url: string;
  readonly clientId: string;
  /** Topics to subscribe to, QoS 1. */
  readonly filters: readonly string[];
  readonly qos: 0 | 1;
  /** Messages without their PUBACK at most, 1 to 65,535; fewer where the broker's receive maximum says so. */
  readonly inFlight: number;
  /** Milliseconds. */
  readonly now: () => number;
}

/** What becomes of a connection and its messages. Handlers must not throw. */
export interface DeviceClientHandler<T extends Outgoing> {
  /** A PUBACK and its reason: below 0x80 taken (0x10: nobody is subscribed), above refused. */
  answered(message: T, reason: number): void;
  /** The connection ended without the PUBACK; the message is sent again, with the DUP flag, once there is another. */
  unanswered(message: T): void;
  /** There may be room again. */
  writable(): void;
  /** A message on one of the filters. */
  received(topic: string, payload: Buffer): void;
  /** Connected and subscribed, or no longer or not yet, with the reason. */
  connection(ready: boolean, detail: string): void;
}

export interface DeviceClient<T extends Outgoing> {
  /**
   * Resolves once connected and subscribed. With `insist` it goes on trying until then, else the first failure is the end.
   * @throws TwinstreamError BROKER_UNREACHABLE, CONFIG_INVALID
   */
  start(insist: boolean): Promise<void>;
  /** How many messages may be published now. */
  room(): number;
  /** Takes a message, within `room`; it goes out with the next `flush`. Larger than the broker allows: answered 0x95. */
  publish(message: T): void;
  flush(): void;
  /** Messages without an answer, oldest first. */
  pending(): T[];
  pendingCount(): number;
  /** Disconnects and ends the session. */
  close(): Promise<void>;
}

/** A session outlives a lost connection by so much, so that commands wait for a device that comes back. */
const SESSION_SECONDS = 300;
/** Filters in one SUBSCRIBE. */
const SUBSCRIBE_BATCH = 200;
/** Bytes waiting in the socket from which on there is no room. */
const SOCKET_BYTES = 1_048_576;
const CLOSE_MS = 2000;
const PACKET_TOO_LARGE = 0x95;

export function createDeviceClient<T extends Outgoing>(
  settings: DeviceClientSettings,
  handler: DeviceClientHandler<T>,
): DeviceClient<T> {
  const window = createPublishWindow<T>(settings.inFlight);
  let client: MqttClient | null = null;
  let ready = false;
  let maximumBytes = Infinity;
  let packets: Buffer[] = [];
  let telling = false;

  async function start(insist: boolean): Promise<void> {
    let subscribed = false;
    let version: number | undefined = 5;
    const { promise, resolve, reject } = deferred();
    const failed = (detail: string) => {
      handler.connection(false, detail);
      if (!subscribed && !insist) reject(unreachable(detail));
    };
    const mine = connectMqtt(
      {
        url: settings.url,
        clientId: settings.clientId,
        role: "device",
        observer: {
          emit(event) {
            if (event.type !== "mqtt_connection" || event.connected) return;
            if (mine.options.protocolVersion === version) {
              failed(event.detail);
              return;
            }
            // No failure: it goes on with MQTT 3.1.1, where only a clean session ends with its connection.
            version = mine.options.protocolVersion;
            mine.options.clean = true;
          },
        },
      },
      { clean: false, properties: { sessionExpiryInterval: SESSION_SECONDS } },
    );
    client = mine;
    mine.on("packetreceive", (packet) => {
      if (packet.cmd === "puback")
        settle(packet.messageId ?? 0, packet.reasonCode ?? 0);
    });
    mine.on("message", (topic, payload) => handler.received(topic, payload));
    mine.on("close", lose);
    mine.on("connect", (connack) => {
      const stream = mine.stream;
      stream.on("drain", tellWritable);
      maximumBytes = connack.properties?.maximumPacketSize ?? Infinity;
      // Once in the life of a process even on a resumed session: its filters may be those of another run.
      const known = subscribed && connack.sessionPresent;
      (known ? Promise.resolve() : subscribe(mine)).then(
        () => {
          // The connection that this was for may be gone already.
          if (!mine.connected || mine.stream !== stream) return;
          subscribed = true;
          ready = true;
          window.open(connack.properties?.receiveMaximum ?? Infinity);
          handler.connection(true, "");
          sendAgain();
          tellWritable();
          resolve();
        },
        (error: unknown) => {
          failed(`subscribing: ${reasonOf(error)}`);
          stream.destroy();
        },
      );
    });
    try {
      await promise;
    } catch (error) {
      await close();
      throw error;
    }
  }

  async function subscribe(to: MqttClient): Promise<void> {
    for (let i = 0; i < settings.filters.length; i += SUBSCRIBE_BATCH)
      await to.subscribeAsync(settings.filters.slice(i, i + SUBSCRIBE_BATCH), {
        qos: 1,
      });
  }

  function lose(): void {
    ready = false;
    packets = [];
    for (const message of window.close()) handler.unanswered(message);
  }

  function sendAgain(): void {
    for (let next = window.repeat(); next; next = window.repeat())
      write(next.message, next.packetId, true);
    flush();
  }

  function settle(packetId: number, reason: number): void {
    const message = window.settle(packetId);
    if (message === undefined) return;
    handler.answered(message, reason);
    tellWritable();
  }

  /** Once for all the PUBACKs that one read of the socket brings. */
  function tellWritable(): void {
    if (telling) return;
    telling = true;
    setImmediate(() => {
      telling = false;
      if (!ready) return;
      sendAgain();
      handler.writable();
    });
  }

  function room(): number {
    if (client === null || !ready) return 0;
    if (client.stream.writableLength >= SOCKET_BYTES) return 0;
    return settings.qos === 0 ? settings.inFlight : window.room();
  }

  function publish(message: T): void {
    write(message, settings.qos === 0 ? 0 : window.take(message), false);
  }

  function write(message: T, packetId: number, dup: boolean): void {
    message.attempt += 1;
    message.sentMs = settings.now();
    const bytes = encodePublish({
      topic: message.topic,
      payload: message.payload,
      packetId,
      dup,
      properties: client?.options.protocolVersion === 5,
    });
    if (bytes.length <= maximumBytes) packets.push(bytes);
    else if (packetId === 0) handler.answered(message, PACKET_TOO_LARGE);
    else settle(packetId, PACKET_TOO_LARGE);
  }

  function flush(): void {
    if (packets.length === 0 || client === null) return;
    const bytes = packets.length === 1 ? packets[0]! : Buffer.concat(packets);
    packets = [];
    client.stream.write(bytes);
  }

  function close(): Promise<void> {
    const mine = client;
    if (mine === null) return Promise.resolve();
    return new Promise((resolve) => {
      const impatient = setTimeout(() => {
        mine.stream.destroy();
        resolve();
      }, CLOSE_MS);
      const ended = () => {
        clearTimeout(impatient);
        resolve();
      };
      if (mine.connected && mine.options.protocolVersion === 5)
        mine.end(false, { properties: { sessionExpiryInterval: 0 } }, ended);
      else mine.end(!mine.connected, ended);
    });
  }

  return {
    start,
    room,
    publish,
    flush,
    pending: () => window.unanswered(),
    pendingCount: () => window.size(),
    close,
  };
}

function deferred() {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
