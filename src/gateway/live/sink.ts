/** The two ways a live stream leaves: an HTTP response that never ends, and a WebSocket. Neither waits; both say what waits. */
import type { Socket } from "node:net";
import type { FastifyReply } from "fastify";
import type { WebSocket } from "@fastify/websocket";
import { type Batch, jsonOf, said, sseOf, sseOfBatch } from "./frame.js";

/** Why we end a stream; clients go by it. */
export type EndReason =
  /** The access token's time is over: get another, and go on from the last id. */
  | "token_expired"
  /** This process stops: connect again, and go on from the last id. */
  | "going_away"
  /** The client took nothing for too long. */
  | "too_slow";

export interface Sink {
  readonly kind: "sse" | "websocket";
  write(batch: Batch): void;
  /** So that proxies and clients see that the stream lives. */
  beat(): void;
  /** Bytes written that the operating system has not taken. */
  buffered(): number;
  /** Bytes that it has taken. */
  sent(): number;
  /** Says why and closes; a client that takes nothing is cut off. */
  end(reason: EndReason): void;
}

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  // Nginx and those that follow it would gather the stream.
  "x-accel-buffering": "no",
  "cache-control": "no-store, no-transform",
};
const BEAT = ":\n\n";
/** Milliseconds in which a client may answer that it has heard that we close. */
const CLOSING_MS = 1_000;
/** What the protocol has for each, or the range it leaves to applications. */
const CLOSE_CODES: Readonly<Record<EndReason, number>> = {
  token_expired: 4401,
  going_away: 1001,
  too_slow: 1013,
};

export function createSseSink(reply: FastifyReply): Sink {
  reply.hijack();
  const { raw } = reply;
  const { socket } = raw;
  // A client that goes while something is written; the connection's end says so.
  raw.on("error", () => undefined);
  raw.writeHead(200, { ...(reply.getHeaders() as object), ...HEADERS });
  raw.flushHeaders();
  return {
    kind: "sse",
    write(batch) {
      raw.write(sseOfBatch(batch));
    },
    beat() {
      raw.write(BEAT);
    },
    buffered: () => raw.writableLength,
    sent: () => takenBy(socket),
    end(reason) {
      if (reason === "too_slow") return void raw.destroy();
      raw.end(sseOf(said("end", { reason })));
    },
  };
}

export function createWebSocketSink(
  webSocket: WebSocket,
  socket: Socket,
): Sink {
  let unanswered = 0;
  webSocket.on("pong", () => {
    unanswered = 0;
  });
  return {
    kind: "websocket",
    write({ frames }) {
      // One write to the socket for all of them.
      socket.cork();
      for (const frame of frames)
        webSocket.send(jsonOf(frame), { binary: false });
      socket.uncork();
    },
    beat() {
      // Who has not answered the last two is not there any more.
      if (++unanswered > 2) return webSocket.terminate();
      webSocket.ping();
    },
    buffered: () => webSocket.bufferedAmount,
    sent: () => takenBy(socket),
    end(reason) {
      if (reason === "too_slow") return webSocket.terminate();
      webSocket.send(jsonOf(said("end", { reason })), { binary: false });
      webSocket.close(CLOSE_CODES[reason], reason);
      setTimeout(() => webSocket.terminate(), CLOSING_MS).unref();
    },
  };
}

const takenBy = (socket: Socket | null): number =>
  socket === null ? 0 : socket.bytesWritten - socket.writableLength;
