/** Dead letters of messages that were decoded: poison, quarantined ones, points left out. */
import type { DeadLetterReason } from "../errors.js";
import type { DeadLetter, Message, Point } from "./message.js";
import { deviceTopic } from "./names.js";
import { toIso } from "./time.js";

/** A message kept with its reason, under the topic that its device used. */
export function deadLetterOf(
  message: Message,
  tenantPrefix: string,
  why: {
    reason: DeadLetterReason;
    detail: string;
    item: number;
    attempts: number;
  },
): DeadLetter {
  return {
    source: message.source,
    reason: why.reason,
    detail: why.detail,
    tenant: message.tenant,
    deviceId: message.deviceId,
    topic: topicOf(message, tenantPrefix),
    payload:
      "payload" in message
        ? Buffer.from(message.payload)
        : (message.source.value ?? Buffer.alloc(0)),
    item: why.item,
    attempts: why.attempts,
  };
}

/** What a point's letter keeps of its message. */
export const readingBytes = (
  { name, type, value, text }: Pick<Point, "name" | "type" | "value" | "text">,
  timeUs: number,
): Buffer =>
  Buffer.from(
    JSON.stringify({ name, t: type, v: text ?? value, ts: toIso(timeUs) }),
  );

/** The MQTT topic that the device used; the log's for what comes from no device. */
function topicOf(message: Message, tenantPrefix: string): string {
  const { kind, source } = message;
  switch (kind) {
    case "command":
    case "cancel":
    case "release":
    case "bulk":
      return source.topic;
    default:
      return deviceTopic(message, kind, tenantPrefix) ?? source.topic;
  }
}
