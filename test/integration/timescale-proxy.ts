/** A TCP proxy before PostgreSQL that can lose answers and stall uploads. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface DatabaseProxy {
  /** The database's URL through the proxy. */
  readonly url: string;
  /** The next thing that the server says to anyone is swallowed, and that connection cut. */
  loseNextAnswer(): void;
  /** On the connections there are, nothing more goes from client to server. */
  stallUploads(): void;
}

export async function withProxy<T>(
  databaseUrl: string,
  work: (proxy: DatabaseProxy) => Promise<T>,
): Promise<T> {
  const target = new URL(databaseUrl);
  const clients = new Set<Socket>();
  let losing = false;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    clients.add(client);
    const cut = () => {
      clients.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const end of [client, upstream]) end.on("error", cut).on("close", cut);
    client.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => {
      if (losing) {
        losing = false;
        cut();
      } else client.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  try {
    return await work({
      url: url.href,
      loseNextAnswer() {
        losing = true;
      },
      stallUploads() {
        for (const client of clients) client.removeAllListeners("data").pause();
      },
    });
  } finally {
    for (const client of clients) client.destroy();
    server.close();
  }
}
