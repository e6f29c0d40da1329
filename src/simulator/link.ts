/** The network between a fleet and its broker: a TCP relay that can break every connection at once, and come back. */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

export interface Link {
  /** The broker's URL, by way of the relay. */
  readonly url: string;
  /** Breaks every connection, with what is on its way, and takes no new one; answers how many there were. */
  cut(): number;
  restore(): void;
  close(): Promise<void>;
}

const MQTT_PORT = 1883;

/** @param brokerUrl mqtt://…, without TLS */
export async function openLink(brokerUrl: string): Promise<Link> {
  const { hostname, port } = new URL(brokerUrl);
  const pairs = new Set<readonly [Socket, Socket]>();
  let up = true;
  const server = createServer((device) => {
    if (!up) {
      device.destroy();
      return;
    }
    const far = connect(Number(port) || MQTT_PORT, hostname);
    const pair = [device, far] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      // A reset on one side: that the other ends too is all there is to do.
      socket.on("error", () => undefined);
      socket.on("close", () => end(pair));
    }
    device.pipe(far);
    far.pipe(device);
  });

  function end(pair: readonly [Socket, Socket]): void {
    if (!pairs.delete(pair)) return;
    for (const socket of pair) socket.destroy();
  }

  function cut(): number {
    up = false;
    const broken = pairs.size;
    for (const pair of pairs) end(pair);
    return broken;
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, resolve);
  });
  const relay = new URL(brokerUrl);
  relay.hostname = "127.0.0.1";
  relay.port = String((server.address() as AddressInfo).port);
  return {
    url: relay.href,
    cut,
    restore() {
      up = true;
    },
    close() {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
