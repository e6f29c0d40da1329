/**
 * Whether the broker keeps what comes while its subscriber is away: a throw-away session subscribes and leaves, messages are
 * published, the session comes back and counts. Default mosquitto kept 1,000 of 3,000 and said nothing.
 */
import { randomUUID } from "node:crypto";
import type { MqttClient } from "mqtt";
import { type Finding, fine, wrong } from "../../domain/finding.js";
import { reasonOf } from "../../errors.js";
import { disconnectMqtt } from "./connect.js";
import { inTime, visit } from "./visit.js";

export interface QueueCheckSettings {
  readonly url: string;
  /** Messages to park; 0 looks no further than the connection. */
  readonly messages: number;
  /** Milliseconds for each stage: connecting, publishing, getting them back. */
  readonly stageMs: number;
}

/** The broker ends the session by itself after this, should the check be killed. */
const SESSION_SECONDS = 300;
/** Publishes under way: below the least receive maximum of the known brokers, HiveMQ's 10. */
const IN_FLIGHT = 10;
/** Milliseconds without a further message after which no more will come. */
const QUIET_MS = 2000;
const PAYLOAD_BYTES = 256;

/** @throws TwinstreamError BROKER_UNREACHABLE, CONFIG_INVALID */
export async function checkQueue(
  settings: QueueCheckSettings,
): Promise<Finding[]> {
  const { messages, stageMs } = settings;
  const clientId = `twinstream-check-${randomUUID()}`;
  const topic = `twinstream/check/${randomUUID()}`;

  const before = await open(settings, clientId, false);
  const version = before.options.protocolVersion === 5 ? "5" : "3.1.1";
  const findings = [fine(`answers with MQTT ${version}`)];
  if (messages === 0) {
    await disconnectMqtt(before);
    await endSession(settings, clientId);
    return findings;
  }
  try {
    try {
      await inTime(before.subscribeAsync(topic, { qos: 1 }), stageMs);
    } catch (error) {
      const why = reasonOf(error) || "refused";
      return [
        ...findings,
        wrong(
          `subscribing to ${topic} failed: ${why}`,
          "let this user read and write twinstream/check/# (the bridge's own topics too), and check again",
        ),
      ];
    } finally {
      await disconnectMqtt(before);
    }
    const refused = await publish(settings, topic);
    if (refused !== null)
      return [
        ...findings,
        wrong(
          `publishing to ${topic} failed: ${refused}`,
          "let this user write twinstream/check/#, and give the broker's queue no limit on messages (mosquitto: max_queued_messages 0)",
        ),
      ];
    const { sessionPresent, count } = await collect(
      settings,
      clientId,
      messages,
    );
    findings.push(
      count === messages
        ? fine(`kept all ${messages} messages for a subscriber that was away`)
        : wrong(
            sessionPresent
              ? `kept ${count} of ${messages} messages for a subscriber that was away; the others are gone`
              : "forgot the session of a subscriber that was away, and its messages with it",
            "mosquitto: max_queued_messages 0 with max_queued_bytes as memory allows, persistence true, and no short persistent_client_expiration; EMQX: mqtt.max_mqueue_len = infinity and a session expiry of hours",
          ),
    );
    return findings;
  } finally {
    await endSession(settings, clientId);
  }
}

/** Publishes all; null, or why one was refused. */
async function publish(
  settings: QueueCheckSettings,
  topic: string,
): Promise<string | null> {
  const client = await open(settings, `twinstream-check-${randomUUID()}`, true);
  const filler = ".".repeat(PAYLOAD_BYTES);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < settings.messages) {
      const payload = `${next++} ${filler}`.slice(0, PAYLOAD_BYTES);
      await client.publishAsync(topic, payload, { qos: 1 });
    }
  };
  try {
    await inTime(
      Promise.all(Array.from({ length: IN_FLIGHT }, worker)),
      settings.stageMs,
    );
    return null;
  } catch (error) {
    next = settings.messages;
    return reasonOf(error);
  } finally {
    await disconnectMqtt(client);
  }
}

/** Comes back as the subscriber and counts different messages until all are there or none comes any more. */
async function collect(
  settings: QueueCheckSettings,
  clientId: string,
  messages: number,
): Promise<{ sessionPresent: boolean; count: number }> {
  const seen = new Set<string>();
  let sessionPresent = false;
  let progressed = (): void => undefined;
  const client = await open(settings, clientId, false, (fresh) => {
    fresh.on("connect", (connack) => {
      sessionPresent = connack.sessionPresent;
    });
    fresh.on("message", (_topic, payload) => {
      seen.add(payload.toString().split(" ", 1)[0] ?? "");
      progressed();
    });
  });
  try {
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(resolve, settings.stageMs);
      let quiet = setTimeout(resolve, QUIET_MS);
      progressed = () => {
        clearTimeout(quiet);
        if (seen.size < messages) {
          quiet = setTimeout(resolve, QUIET_MS);
          return;
        }
        clearTimeout(deadline);
        resolve();
      };
      if (seen.size > 0) progressed();
    });
  } finally {
    await disconnectMqtt(client);
  }
  return { sessionPresent, count: seen.size };
}

/** A clean session of the same client id takes the place of the other and ends with its connection, in every version. */
async function endSession(
  settings: QueueCheckSettings,
  clientId: string,
): Promise<void> {
  await disconnectMqtt(await open(settings, clientId, true));
}

/** Connects, or says why not. `listen` is called before anything can arrive. */
const open = (
  { url, stageMs }: QueueCheckSettings,
  clientId: string,
  clean: boolean,
  listen: (client: MqttClient) => void = () => undefined,
): Promise<MqttClient> =>
  visit({
    url,
    clientId,
    withinMs: stageMs,
    sessionSeconds: clean ? null : SESSION_SECONDS,
    listen,
  });
