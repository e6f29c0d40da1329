/** A QoS 0 or 1 PUBLISH packet as bytes (MQTT 5, 3.3; MQTT 3.1.1 the same without properties). */

const PUBLISH = 0x30;
const QOS_1 = 0x02;
const DUP = 0x08;
const MAX_HEADER_BYTES = 5;

export interface PublishPacket {
  readonly topic: Buffer;
  readonly payload: Buffer;
  /** 1 to 65,535 for QoS 1; 0 for QoS 0, which has none. */
  readonly packetId: number;
  readonly dup: boolean;
  /** MQTT 5: an empty list of properties goes with it. */
  readonly properties: boolean;
}

export function encodePublish(packet: PublishPacket): Buffer {
  const { topic, payload, packetId } = packet;
  const remaining = remainingLength(packet);
  const bytes = Buffer.allocUnsafe(MAX_HEADER_BYTES + remaining);
  let at = bytes.writeUInt8(
    PUBLISH | (packetId > 0 ? QOS_1 : 0) | (packet.dup ? DUP : 0),
    0,
  );
  // Variable byte integer (1.5.5): seven bits a byte, low ones first, the top bit says that more follow.
  let rest = remaining;
  do {
    const more = rest >= 0x80;
    at = bytes.writeUInt8((rest & 0x7f) | (more ? 0x80 : 0), at);
    rest >>>= 7;
  } while (rest > 0);
  at = bytes.writeUInt16BE(topic.length, at);
  at += topic.copy(bytes, at);
  if (packetId > 0) at = bytes.writeUInt16BE(packetId, at);
  if (packet.properties) at = bytes.writeUInt8(0, at);
  at += payload.copy(bytes, at);
  return bytes.subarray(0, at);
}

/** Bytes after the fixed header. */
function remainingLength(packet: PublishPacket): number {
  return (
    2 +
    packet.topic.length +
    (packet.packetId > 0 ? 2 : 0) +
    (packet.properties ? 1 : 0) +
    packet.payload.length
  );
}
