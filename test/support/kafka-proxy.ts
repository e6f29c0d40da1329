/**
 * A TCP relay before a Kafka-protocol broker. The broker names its own address in its answers, and clients go there: so the
 * relay puts its own in its place, which has as many bytes.
 */
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.js";

export async function startKafkaProxy(brokers: string): Promise<TcpProxy> {
  const proxy = await startTcpProxy(brokers);
  const [host = "", port = ""] = brokers.split(":");
  const named = addressOf(host, Number(port));
  const own = addressOf(host, proxy.port);
  proxy.rewrite((direction, chunk) => {
    if (direction === "down")
      for (
        let at = chunk.indexOf(named);
        at >= 0;
        at = chunk.indexOf(named, at)
      )
        own.copy(chunk, at);
    return chunk;
  });
  return proxy;
}

/** As metadata and coordinator answers have it: length, host, port. */
function addressOf(host: string, port: number): Buffer {
  const bytes = Buffer.alloc(2 + host.length + 4);
  bytes.writeUInt16BE(host.length, 0);
  bytes.write(host, 2, "latin1");
  bytes.writeUInt32BE(port, 2 + host.length);
  return bytes;
}
