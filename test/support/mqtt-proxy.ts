/** A TCP relay in front of an MQTT broker that reads what passes to the broker. */
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.js";

const PUBACK = 0x40;
const PINGREQ = 0xc0;

export interface MqttProxy extends TcpProxy {
  /** Packet ids of the PUBACKs that clients have sent, in order. */
  readonly pubacks: number[];
  /** How many PINGREQs clients have sent. */
  readonly pings: () => number;
}

export async function startMqttProxy(brokerUrl: string): Promise<MqttProxy> {
  const proxy = await startTcpProxy(brokerUrl);
  const pubacks: number[] = [];
  let pings = 0;
  const readers = new Map<number, (chunk: Buffer) => void>();
  proxy.watch((direction, chunk, connection) => {
    if (direction === "down") return;
    let read = readers.get(connection);
    if (read === undefined) {
      read = createPacketReader((type, body) => {
        if (type === PUBACK) pubacks.push(body.readUInt16BE(0));
        if (type === PINGREQ) pings += 1;
      });
      readers.set(connection, read);
    }
    read(chunk);
  });
  return { ...proxy, pubacks, pings: () => pings };
}

/** Walks a client's packets: a byte of type, a length of one to four bytes, as many bytes of content. */
function createPacketReader(
  each: (type: number, body: Buffer) => void,
): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      let length = 0;
      let at = 1;
      for (; at <= 4; at += 1) {
        const byte = rest[at];
        if (byte === undefined) return;
        length |= (byte & 0x7f) << (7 * (at - 1));
        if (byte < 0x80) break;
      }
      const end = at + 1 + length;
      if (rest.length < end) return;
      each(rest[0] ?? 0, rest.subarray(at + 1, end));
      rest = rest.subarray(end);
    }
  };
}
