/**
 * Cuts off clients whose request's body trickles in: each would hold a connection, and a route with its buffers, for as long
 * as it likes. Node's own `requestTimeout` cannot do it: it counts the whole request, and a large upload over an honest line
 * takes minutes. A head that trickles in is Node's to cut, by `headersTimeout`.
 */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";

/** In each such time … */
const LOOK_MS = 10_000;
/** … at least so much of a body must arrive while we wait for it, until it is complete: about 1 KB/s. */
const LEAST_BYTES = 10_240;

/** @param cut answers and closes the connection */
export function cutSlowBodies(
  app: FastifyInstance,
  cut: (error: Error & { code: string }, socket: Duplex) => void,
  lookMs = LOOK_MS,
): void {
  app.addHook("onRequest", async (request) => {
    if (hasBody(request)) watch(request, cut, lookMs);
  });
}

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers["transfer-encoding"] !== undefined ||
  Number(headers["content-length"] ?? 0) > 0;

function watch(
  { raw }: FastifyRequest,
  cut: Parameters<typeof cutSlowBodies>[1],
  lookMs: number,
): void {
  const { socket } = raw;
  // Requests put in by `inject` have come over no line.
  if (!(socket instanceof Socket)) return;
  let before = socket.bytesRead;
  const looking = setInterval(() => {
    if (raw.complete || socket.destroyed) return clearInterval(looking);
    const arrived = socket.bytesRead - before;
    before = socket.bytesRead;
    // Bytes that wait for us: it is our side that is slow.
    if (arrived >= LEAST_BYTES || raw.readableLength > 0) return;
    clearInterval(looking);
    const error = new Error("the body arrived too slowly");
    cut(Object.assign(error, { code: "ERR_HTTP_REQUEST_TIMEOUT" }), socket);
  }, lookMs);
  raw.once("end", () => clearInterval(looking));
  raw.once("close", () => clearInterval(looking));
}
