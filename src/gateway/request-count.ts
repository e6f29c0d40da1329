/** Every answered request, as one fact: its route's pattern, never its address, which holds ids. */
import type { FastifyInstance } from "fastify";
import type { Observer } from "../ports.js";

/** Routes stand under `/` and here, and count as one. */
const PREFIX = "/api/v1";

/** Before any route is registered. */
export function countRequests(app: FastifyInstance, observer: Observer): void {
  app.addHook("onResponse", async (request, reply) => {
    const url = request.is404 ? undefined : request.routeOptions.url;
    // A live stream lasts for hours and has metrics of its own.
    if (url?.endsWith("/live")) return;
    observer.emit({
      type: "http_request",
      method: METHODS.has(request.method) ? request.method : "other",
      route:
        url === undefined
          ? "other"
          : url.startsWith(`${PREFIX}/`)
            ? url.slice(PREFIX.length)
            : url,
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
    });
  });
}

/** Those that routes take: a client may call its method anything. */
const METHODS = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);
