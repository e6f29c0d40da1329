/** Clients of live streams as browsers have them: Server-Sent Events over plain HTTP, and WebSockets. */
import { get, type IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { until } from "./wait.js";

export interface LiveEvent {
  readonly event: string;
  readonly id: string | null;
  readonly data: unknown;
  /** As it came. */
  readonly text: string;
}

export interface LiveStream {
  /** Status of the answer; the stream is open when it is 200 or 101. */
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly events: LiveEvent[];
  /** Comments of a stream of events, pings of a WebSocket. */
  beats(): number;
  /** Body of an answer that is no stream. */
  problem(): { code: string; detail: string };
  /** Waits for so many events of this kind, and answers them. */
  wait(event: string, count?: number): Promise<LiveEvent[]>;
  /** Takes nothing any more. */
  freeze(): void;
  thaw(): void;
  /** Resolves when the server has ended it: a WebSocket's code, or 0. */
  readonly closed: Promise<number>;
  close(): void;
}

const PATIENCE_MS = 10_000;

const waitFor =
  (events: LiveEvent[], close: () => void) =>
  async (event: string, count = 1): Promise<LiveEvent[]> => {
    const found = () => events.filter((one) => one.event === event);
    await until(() => found().length >= count, {
      withinMs: PATIENCE_MS,
      what: `${count} ${event}; there are ${JSON.stringify(events.slice(-5))}`,
    }).catch((error: unknown) => {
      close();
      throw error;
    });
    return found();
  };

export function openSse(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<LiveStream> {
  const events: LiveEvent[] = [];
  let beats = 0;
  return new Promise((resolve, reject) => {
    const request = get(
      url,
      {
        headers: { accept: "text/event-stream", ...headers },
        // A connection of its own, as an EventSource's is.
        agent: false,
      },
      (response) => {
        let rest = "";
        let all = "";
        response.setEncoding("utf8");
        response.on("error", () => undefined);
        const closed = new Promise<number>((done) =>
          response.on("close", () => done(0)),
        );
        response.on("data", (chunk: string) => {
          if (response.statusCode !== 200) all += chunk;
          rest += chunk;
          const blocks = rest.split("\n\n");
          rest = blocks.pop() ?? "";
          for (const block of blocks)
            if (block.startsWith(":")) beats++;
            else events.push(readBlock(block));
        });
        const close = (): void => void request.destroy();
        const stream: LiveStream = {
          status: response.statusCode ?? 0,
          headers: response.headers,
          events,
          beats: () => beats,
          problem: () => JSON.parse(all) as { code: string; detail: string },
          wait: waitFor(events, close),
          freeze: () => void response.pause(),
          thaw: () => void response.resume(),
          closed,
          close,
        };
        if (response.statusCode === 200) resolve(stream);
        else void closed.then(() => resolve(stream));
      },
    );
    request.on("error", reject);
  });
}

/** As the standard says: data lines are joined by line feeds. */
function readBlock(block: string): LiveEvent {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("event:")) event = value;
    else if (line.startsWith("id:")) id = value;
    else if (line.startsWith("data:")) data.push(value);
  }
  const text = data.join("\n");
  return { event, id, data: JSON.parse(text) as unknown, text };
}

export function openWebSocket(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<LiveStream> {
  const events: LiveEvent[] = [];
  let beats = 0;
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace(/^http/, "ws"), { headers });
    let answer: IncomingMessage["headers"] = {};
    const closed = new Promise<number>((done) => socket.on("close", done));
    const close = (): void => socket.terminate();
    const streamOf = (status: number, body: string): LiveStream => ({
      status,
      headers: answer,
      events,
      beats: () => beats,
      problem: () => JSON.parse(body) as { code: string; detail: string },
      wait: waitFor(events, close),
      freeze: () => socket.pause(),
      thaw: () => socket.resume(),
      closed,
      close,
    });
    socket.on("upgrade", (response) => {
      answer = response.headers;
    });
    socket.on("ping", () => beats++);
    socket.on("message", (bytes: Buffer) => {
      const { type, id, message } = JSON.parse(bytes.toString()) as {
        type: string;
        id?: string;
        message: unknown;
      };
      const text = bytes
        .toString()
        .slice(bytes.indexOf(`"message":`) + `"message":`.length, -1);
      events.push({ event: type, id: id ?? null, data: message, text });
    });
    socket.on("open", () => resolve(streamOf(101, "")));
    socket.on("unexpected-response", (_request, response) => {
      answer = response.headers;
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("close", () =>
        resolve(streamOf(response.statusCode ?? 0, body)),
      );
    });
    socket.on("error", reject);
  });
}
