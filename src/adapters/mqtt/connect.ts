/**
 * How every connection to the broker is made: MQTT 5, or 3.1.1 where the broker refuses 5; it comes back by itself after
 * any loss, a refusal included; nothing is queued while it is away.
 */
import { Socket } from "node:net";
import mqtt, { type IClientOptions, MqttClient } from "mqtt";
import { TwinstreamError, reasonOf } from "../../errors.js";
import type { Clock, Observer } from "../../ports.js";
import { takeTls } from "../tls/files.js";
import { explained, type Settings } from "../tls/trouble.js";
import { createReconnectPace } from "./reconnect-pace.js";

export interface MqttSettings {
  /**
   * mqtt, mqtts, ws or wss; user and password in it where the broker asks for them, and the names of certificates' files as
   * `tls_ca`, `tls_cert` and `tls_key`.
   */
  readonly url: string;
  readonly clientId: string;
  /** What the connection is for, in events. */
  readonly role: string;
  readonly observer: Observer;
  /** The clock, where a person chose the client id, so that another client may have it too. */
  readonly chosenId?: Clock;
}

const SETTINGS: Settings = {
  address: "MQTT_URL",
  prefix: "MQTT_TLS",
  ask: "mqtts:// in MQTT_URL",
};
/** After one and a half of it without a sign of life either side gives a connection up. */
export const KEEPALIVE_SECONDS = 30;
const CONNECT_TIMEOUT_MS = 10_000;
/** Between tries; spread so that many clients do not come back to a restarted broker as one. */
const RECONNECT_MS = { least: 500, spread: 1000 };
/** How long a clean DISCONNECT may take before the socket is simply closed. */
const DISCONNECT_MS = 2000;
/** "Unsupported protocol version" as MQTT 3.1.1 and as MQTT 5 say it. */
const REFUSED_VERSION = new Set<unknown>([1, 132]);
const TAKEN_OVER = 142;
const SCHEMES = /^(mqtt|mqtts|tcp|ssl|ws|wss):$/;

/**
 * Starts connecting and answers the client at once; what becomes of it is told by `mqtt_connection` events, a repeated
 * failure once.
 * @throws TwinstreamError CONFIG_INVALID when the URL is none of a broker, or a certificate's file cannot be used.
 */
export function connectMqtt(
  settings: MqttSettings,
  options: IClientOptions,
): MqttClient {
  if (
    !URL.canParse(settings.url) ||
    !SCHEMES.test(new URL(settings.url).protocol)
  )
    throw new TwinstreamError(
      "CONFIG_INVALID",
      "MQTT_URL must be a URL like mqtt://host:1883 (or mqtts, ws, wss)",
    );
  const usualMs =
    RECONNECT_MS.least + Math.floor(Math.random() * RECONNECT_MS.spread);
  const pace =
    settings.chosenId && createReconnectPace(usualMs, settings.chosenId);
  const { url, tls } = takeTls(settings.url, SETTINGS.prefix);
  const client = mqtt.connect(url, {
    ...tls,
    protocolVersion: 5,
    clientId: settings.clientId,
    keepalive: KEEPALIVE_SECONDS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: usualMs,
    // Without it a refused CONNACK (users not loaded yet, too many connections) ends reconnecting for good.
    reconnectOnConnackError: true,
    queueQoSZero: false,
    resubscribe: false,
    log: () => undefined,
    ...options,
  });
  let lastFailure = "";
  const lost = (detail: string) => {
    if (detail === lastFailure) return;
    lastFailure = detail;
    settings.observer.emit({
      type: "mqtt_connection",
      role: settings.role,
      connected: false,
      detail,
    });
  };

  let open = false;
  let takenOver = false;
  client.on("connect", (connack) => {
    lastFailure = "";
    open = true;
    takenOver = false;
    pace?.opened();
    // PUBACKs are small writes that answer nothing: with Nagle's algorithm they would wait for the broker's TCP ACK.
    if (client.stream instanceof Socket) client.stream.setNoDelay(true);
    settings.observer.emit({
      type: "mqtt_connection",
      role: settings.role,
      connected: true,
      detail: `MQTT ${client.options.protocolVersion === 5 ? "5" : "3.1.1"}, ${connack.sessionPresent ? "session resumed" : "new session"}`,
    });
  });
  client.on("error", (error) => {
    const code = "code" in error ? error.code : undefined;
    if (
      client.options.protocolVersion === 5 &&
      !client.connected &&
      REFUSED_VERSION.has(code)
    ) {
      client.options.protocolVersion = 4;
      lost("the broker refuses MQTT 5; going on with 3.1.1");
      return;
    }
    const reset =
      String(code) === "ECONNRESET" && !open && url.startsWith("mqtts:");
    lost(
      explained(reasonOf(error) || String(code), SETTINGS) +
        (reset ? "; is TLS spoken there? See the port in MQTT_URL" : ""),
    );
    // An error without a code is a packet that could not be read or an answer that never came, not the socket's own end.
    if (code === undefined) client.stream.destroy();
  });
  client.on("disconnect", ({ reasonCode }) => {
    takenOver = reasonCode === TAKEN_OVER;
    if (!takenOver)
      lost(`the broker ended the connection, reason ${String(reasonCode)}`);
  });
  // Before mqtt.js' own listener, which starts the wait for the next try.
  client.prependListener("close", () => {
    if (!open || client.disconnecting) return;
    open = false;
    const silent = lastFailure === "" && !takenOver;
    const pause = silent || takenOver ? pace?.ended(takenOver) : undefined;
    client.options.reconnectPeriod = pause?.waitMs ?? usualMs;
    const again =
      pause === undefined || !pause.crowded
        ? ""
        : `; tries again in ${Math.round(pause.waitMs / 1000)} s`;
    if (takenOver)
      lost(
        `another client connected as ${settings.clientId}: client ids must differ${again}`,
      );
    else if (silent)
      lost(
        pause?.crowded
          ? `the broker closed ${pause.inARow} connections in a row without a reason, as it does when another client connects as ${settings.clientId}: client ids must differ${again}`
          : `connection closed; should that go on, another client may use the client id ${settings.clientId}`,
      );
  });
  return client;
}

/** Says DISCONNECT and closes; after a deadline, or when there is no connection, just closes. Does not come back. */
export function disconnectMqtt(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    // `end` waits for answers to what is under way, which may never come.
    const impatient = setTimeout(() => {
      client.stream.destroy();
      resolve();
    }, DISCONNECT_MS);
    client.end(!client.connected, () => {
      clearTimeout(impatient);
      resolve();
    });
  });
}

/** Why nothing can be sent or was answered. */
export function unreachable(detail: string): TwinstreamError {
  return new TwinstreamError(
    "BROKER_UNREACHABLE",
    `the MQTT broker (MQTT_URL) does not answer: ${detail}`,
  );
}
