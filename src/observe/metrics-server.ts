/** The small server beside each role: `/metrics` for Prometheus, `/ready` and `/alive` for whoever supervises the process. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { Readiness } from "./readiness.js";

export interface MetricsServer {
  /** Where it listens, such as `http://127.0.0.1:9100`. */
  readonly url: string;
  readonly close: () => Promise<void>;
}

/**
 * Listens; port 0 takes a free one.
 * @throws the socket's error, when the address is taken.
 */
export async function startMetricsServer(options: {
  host: string;
  port: number;
  registry: Registry;
  readiness: Readiness;
}): Promise<MetricsServer> {
  const { registry, readiness } = options;

  async function answer(path: string, response: ServerResponse): Promise<void> {
    switch (path) {
      case "/metrics":
        return send(
          response,
          200,
          registry.contentType,
          await registry.metrics(),
        );
      case "/ready": {
        const state = readiness.state();
        return sendJson(response, state.ready ? 200 : 503, state);
      }
      case "/alive":
        return sendJson(response, 200, { alive: true });
      default:
        return sendJson(response, 404, {
          error: `no ${path} here; there are /metrics, /ready and /alive`,
        });
    }
  }

  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    if (request.method !== "GET" && request.method !== "HEAD")
      return sendJson(response, 405, { error: "only GET is taken here" });
    answer(path, response).catch((error: unknown) => {
      sendJson(response, 500, { error: String(error) });
    });
  });
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { address, family, port } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${port}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
): void {
  send(response, status, "application/json", JSON.stringify(body));
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(body);
}
