/** What the bridge makes of an MQTT message: a record of the log, with what the broker said of it in the headers. */
import { encodeBadTopic, encodeEnvelope } from "../domain/envelope.js";
import { HEADER } from "../domain/message.js";
import { address, parseTopic } from "../domain/names.js";
import type { InboundPacket, OutgoingRecord } from "../ports.js";

/** `prefix` is MQTT_TENANT_PREFIX. `maxBytes` 0 leaves of the payload what `too_large` keeps: size, hash and head. */
export function toRecord(
  packet: InboundPacket,
  { bridgeId, prefix }: { readonly bridgeId: string; readonly prefix: string },
  maxBytes?: number,
): OutgoingRecord {
  const headers: Record<string, string> = {
    [HEADER.arrival]: String(packet.arrivalMs),
    [HEADER.bridge]: bridgeId,
  };
  if (packet.qos > 0) headers[HEADER.packet] = String(packet.packetId);
  if (packet.dup) headers[HEADER.dup] = "1";
  if (packet.retain) headers[HEADER.retained] = "1";
  const from = parseTopic(packet.topic, prefix);
  if ("reason" in from)
    return {
      key: packet.topic,
      value: encodeBadTopic(packet, maxBytes),
      headers,
    };
  const { payload, arrivalMs } = packet;
  return {
    key: address(from.tenant, from.deviceId),
    value: encodeEnvelope({ ...from, payload, arrivalMs }, maxBytes),
    headers,
  };
}
