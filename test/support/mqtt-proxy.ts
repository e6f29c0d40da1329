/** A TCP relay in front of an MQTT broker that can break connections, and reads what passes to the broker. */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

const PUBACK = 0x40;
const PINGREQ = 0xc0;

export interface MqttProxy {
  /** Of the relay: mqtt://127.0.0.1:port */
  readonly url: string;
  /** Packet ids of the PUBACKs that clients have sent, in order. */
  readonly pubacks: number[];
  /** How many PINGREQs clients have sent. */
  readonly pings: () => number;
  /** Breaks every connection, and with it what is on its way; new ones are taken. */
  readonly cut: () => void;
  /** Ends every connection towards its client; what the client had sent still reaches the broker. */
  readonly hangUp: () => void;
  /** Breaks every connection and takes no new ones until `open`. */
  readonly shut: () => void;
  readonly open: () => void;
  readonly close: () => Promise<void>;
}

export async function startMqttProxy(brokerUrl: string): Promise<MqttProxy> {
  const { hostname, port } = new URL(brokerUrl);
  const sockets = new Set<Socket>();
  const endings = new Set<() => void>();
  const pubacks: number[] = [];
  let pings = 0;
  let taking = true;

  const server = createServer((client) => {
    if (!taking) {
      client.destroy();
      return;
    }
    const broker = connect(Number(port), hostname);
    const ending = () => {
      broker.unpipe(client);
      broker.resume();
      client.end();
    };
    endings.add(ending);
    client.on("close", () => endings.delete(ending));
    const read = createPacketReader((type, body) => {
      if (type === PUBACK) pubacks.push(body.readUInt16BE(0));
      if (type === PINGREQ) pings += 1;
    });
    for (const socket of [client, broker]) {
      sockets.add(socket);
      // The other side's reset: that this side ends too is all there is to do.
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        // Whatever the client sent last still goes out.
        broker.end();
      });
    }
    client.on("data", read);
    client.pipe(broker);
    broker.pipe(client);
  });
  await new Promise<void>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve()),
  );
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pubacks,
    pings: () => pings,
    cut,
    hangUp() {
      for (const end of endings) end();
    },
    shut() {
      taking = false;
      cut();
    },
    open() {
      taking = true;
    },
    close() {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
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
