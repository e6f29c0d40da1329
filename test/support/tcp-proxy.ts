/**
 * A TCP relay before any service, which can do to a link what networks do: delay it, throttle it, cut it to pieces, reset it,
 * swallow what goes one way or both, lose an answer after what it answers took effect, close one half. What it does holds for
 * the connections there are and for new ones, until it is told otherwise.
 */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

/** `up`: from the client to the service. */
export type Direction = "up" | "down";

export interface Weather {
  /** Milliseconds that every piece is late, and by how much that varies either way; order is kept. */
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Of each connection and direction. */
  readonly bytesPerSecond?: number;
  /** Bytes of the pieces in which everything arrives. */
  readonly pieces?: number;
  /** Directions in which nothing arrives, though connections stand and more are taken. */
  readonly swallowed?: readonly Direction[];
}

export interface TcpProxy {
  readonly port: number;
  /** The service's URL (or host:port, where it was given so) by way of the proxy. */
  readonly url: string;
  /** Connections that stand. */
  standing(): number;
  readonly counts: {
    /** Connections taken. */
    readonly taken: number;
    readonly bytesUp: number;
    readonly bytesDown: number;
    /** Cut, reset or hung up by the proxy. */
    readonly broken: number;
  };
  /** From now on; `{}` is fair weather, in which what is under way goes on. */
  weather(now: Weather): void;
  /** Ends every connection at once, by a reset where the system has one. */
  cut(): void;
  /** Ends every connection towards its client; what the client had sent still reaches the service. */
  hangUp(): void;
  /** On the connections there are, nothing more arrives in this direction; new ones are whole. */
  stall(direction: Direction): void;
  /** Half-open: the service is gone from every connection, and its client is not told; what it says goes nowhere. */
  abandon(): void;
  /** Whether a client still holds on to an abandoned connection. */
  hasAbandoned(): boolean;
  /** Cuts, and refuses connections until `open`. */
  shut(): void;
  open(): void;
  /** Each connection that carries so many bytes more in this direction is reset in the middle of them, once. */
  resetAfter(bytes: number, direction: Direction): void;
  /** The next thing that the service says to anyone is swallowed and that connection cut; resolves then. */
  loseNextAnswer(): Promise<void>;
  /**
   * The next time that a client says something that holds this, the answer to it is swallowed and the connection cut: what was
   * asked for took effect, and nobody was told. Resolves then.
   */
  loseAnswerTo(said: string): Promise<void>;
  /** The next connection on which a client says this is reset when so many bytes more have gone up. Resolves then. */
  resetWithin(said: string, bytes: number): Promise<void>;
  /** Sees what passes, piece by piece, as it comes in. */
  watch(
    each: (direction: Direction, chunk: Buffer, connection: number) => void,
  ): void;
  /** Changes what passes. */
  rewrite(change: (direction: Direction, chunk: Buffer) => Buffer): void;
  close(): Promise<void>;
}

interface Fuse {
  readonly direction: Direction;
  left: number;
  readonly blown: () => void;
}

interface Link {
  readonly id: number;
  readonly client: Socket;
  readonly service: Socket;
  readonly pipes: Readonly<Record<Direction, Pipe>>;
  hungUp: boolean;
  abandoned: boolean;
  /** What it says next is swallowed. */
  answerLost: (() => void) | null;
  /** Bytes left until the reset. */
  fuse: Fuse | null;
}

/** One direction of one connection: pieces leave in the order in which they came, each when it is due. */
interface Pipe {
  push(chunk: Buffer): void;
  /** The sender has said its last. */
  finish(): void;
  /** The weather has changed. */
  look(): void;
  stop(): void;
}

/** Bytes held for one direction before its sender is no longer read. */
const HELD = 1024 * 1024;

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const isUrl = target.includes("://");
  const at = new URL(isUrl ? target : `tcp://${target}`);
  const links = new Set<Link>();
  const watchers: ((
    direction: Direction,
    chunk: Buffer,
    connection: number,
  ) => void)[] = [];
  const counts = { taken: 0, bytesUp: 0, bytesDown: 0, broken: 0 };
  let sky: Weather = {};
  let change: (direction: Direction, chunk: Buffer) => Buffer = (_, chunk) =>
    chunk;
  let taking = true;
  let answerLost: (() => void) | null = null;
  let awaited: { text: string; lost: () => void } | null = null;
  let mined: { text: string; fuse: Fuse } | null = null;

  function end(link: Link): void {
    if (!links.delete(link)) return;
    for (const pipe of Object.values(link.pipes)) pipe.stop();
    link.client.destroy();
    link.service.destroy();
  }

  function reset(link: Link): void {
    if (!links.has(link)) return;
    counts.broken++;
    link.client.resetAndDestroy();
    link.service.resetAndDestroy();
    end(link);
  }

  /** What becomes of a chunk before its pipe: all of it, the part before a reset, or nothing. */
  function pass(
    link: Link,
    direction: Direction,
    chunk: Buffer,
  ): Buffer | null {
    for (const watcher of watchers) watcher(direction, chunk, link.id);
    if (direction === "up") {
      counts.bytesUp += chunk.length;
      if (awaited !== null && chunk.includes(awaited.text)) {
        link.answerLost = awaited.lost;
        awaited = null;
      }
      if (mined !== null && chunk.includes(mined.text)) {
        link.fuse = mined.fuse;
        mined = null;
      }
    } else {
      counts.bytesDown += chunk.length;
      const lost = link.answerLost ?? answerLost;
      if (lost !== null) {
        if (lost === answerLost) answerLost = null;
        reset(link);
        lost();
        return null;
      }
    }
    const { fuse } = link;
    if (fuse === null || fuse.direction !== direction) return chunk;
    fuse.left -= chunk.length;
    if (fuse.left > 0) return chunk;
    link.fuse = null;
    // What comes before the reset is handed on first, so that it falls in the middle.
    setImmediate(() => {
      reset(link);
      fuse.blown();
    });
    return chunk.subarray(0, chunk.length + fuse.left);
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (!taking) {
      client.resetAndDestroy();
      return;
    }
    counts.taken++;
    const service = connect({
      port: Number(at.port),
      host: at.hostname,
      allowHalfOpen: true,
    });
    const link: Link = {
      id: counts.taken,
      client,
      service,
      pipes: {
        up: createPipe(client, service, "up", () => sky),
        down: createPipe(service, client, "down", () => sky),
      },
      hungUp: false,
      abandoned: false,
      answerLost: null,
      fuse: null,
    };
    links.add(link);
    for (const [from, direction] of [
      [client, "up"],
      [service, "down"],
    ] as const) {
      from.setNoDelay(true);
      from.on("data", (chunk: Buffer) => {
        if (link.abandoned || (link.hungUp && direction === "down")) return;
        const passed = pass(link, direction, chunk);
        if (passed !== null)
          link.pipes[direction].push(change(direction, passed));
      });
      from.on("end", () => {
        // Whoever lets go of an abandoned connection is rid of it.
        if (link.abandoned) end(link);
        else link.pipes[direction].finish();
      });
      // The other side's reset: that this side ends too is all there is to do.
      from.on("error", () => end(link));
      from.on("close", (failed) => {
        if (link.abandoned && direction === "down") return;
        if (failed || (client.destroyed && service.destroyed)) end(link);
        else if (direction === "down") client.end();
        else service.end();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const through = new URL(at.href);
  through.hostname = "127.0.0.1";
  through.port = String(port);

  return {
    port,
    url: isUrl ? through.href.replace(/(:\d+)\/$/, "$1") : `127.0.0.1:${port}`,
    standing: () => links.size,
    counts,
    weather(now) {
      sky = now;
      for (const { pipes } of links)
        for (const pipe of Object.values(pipes)) pipe.look();
    },
    cut() {
      for (const link of links) reset(link);
    },
    hangUp() {
      for (const link of links) {
        counts.broken++;
        link.hungUp = true;
        link.client.end();
      }
    },
    stall(direction) {
      for (const { pipes } of links) pipes[direction].stop();
    },
    abandon() {
      for (const link of links) {
        counts.broken++;
        link.abandoned = true;
        for (const pipe of Object.values(link.pipes)) pipe.stop();
        link.service.destroy();
      }
    },
    hasAbandoned: () => [...links].some(({ abandoned }) => abandoned),
    shut() {
      taking = false;
      for (const link of links) reset(link);
    },
    open() {
      taking = true;
    },
    resetAfter(bytes, direction) {
      const blown = () => undefined;
      for (const link of links) link.fuse = { direction, left: bytes, blown };
    },
    loseNextAnswer: () =>
      new Promise((resolve) => {
        answerLost = resolve;
      }),
    loseAnswerTo: (text) =>
      new Promise((lost) => {
        awaited = { text, lost };
      }),
    resetWithin: (text, bytes) =>
      new Promise((blown) => {
        mined = { text, fuse: { direction: "up", left: bytes, blown } };
      }),
    watch: (each) => void watchers.push(each),
    rewrite(how) {
      change = how;
    },
    close() {
      taking = false;
      for (const link of links) end(link);
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Runs a test with a proxy before this service, and closes it. */
export async function withTcpProxy<T>(
  target: string,
  work: (proxy: TcpProxy) => Promise<T>,
): Promise<T> {
  const proxy = await startTcpProxy(target);
  try {
    return await work(proxy);
  } finally {
    await proxy.close();
  }
}

function createPipe(
  from: Socket,
  to: Socket,
  direction: Direction,
  sky: () => Weather,
): Pipe {
  const held: { chunk: Buffer; dueMs: number }[] = [];
  let bytes = 0;
  let finished = false;
  let stopped = false;
  let timer: NodeJS.Timeout | null = null;
  /** No piece overtakes the one before it. */
  let latestMs = 0;

  const room = (): void => {
    if (bytes < HELD / 2 && from.isPaused()) from.resume();
  };

  function send(): void {
    timer = null;
    if (stopped || sky().swallowed?.includes(direction)) return;
    const nowMs = performance.now();
    for (let next = held[0]; next !== undefined; next = held[0]) {
      if (next.dueMs > nowMs) {
        timer = setTimeout(send, next.dueMs - nowMs);
        return;
      }
      held.shift();
      bytes -= next.chunk.length;
      if (!to.write(next.chunk)) {
        to.once("drain", () => {
          room();
          send();
        });
        return;
      }
    }
    room();
    if (finished) to.end();
  }

  function hold(chunk: Buffer): void {
    const { delayMs = 0, jitterMs = 0, bytesPerSecond } = sky();
    const nowMs = performance.now();
    const late = delayMs + (Math.random() * 2 - 1) * jitterMs;
    const takes =
      bytesPerSecond === undefined ? 0 : (chunk.length / bytesPerSecond) * 1000;
    latestMs = Math.max(latestMs, nowMs + Math.max(0, late)) + takes;
    held.push({ chunk, dueMs: latestMs });
    bytes += chunk.length;
  }

  return {
    push(chunk) {
      const { pieces = chunk.length, bytesPerSecond } = sky();
      // A throttled link hands on a tenth of a second's bytes at a time.
      const size = Math.max(
        1,
        Math.min(pieces, Math.ceil((bytesPerSecond ?? Infinity) / 10)),
      );
      for (let at = 0; at < chunk.length; at += size)
        hold(chunk.subarray(at, at + size));
      if (bytes >= HELD) from.pause();
      if (timer === null) send();
    },
    finish() {
      finished = true;
      if (held.length === 0 && !sky().swallowed?.includes(direction)) to.end();
    },
    look() {
      if (timer === null) send();
    },
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
