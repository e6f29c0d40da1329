/**
 * The one way we connect to Redis, with every setting that makes ioredis fail early and keep nothing in memory while Redis is
 * away. ioredis reconnects by itself; what was under way when a connection broke is told as failed and repeated by the caller.
 */
import { Redis } from "ioredis";
import { isIP } from "node:net";
import { reasonOf, TwinstreamError } from "../../errors.js";
import { takeTls } from "../tls/files.js";
import { explained, type Settings } from "../tls/trouble.js";

/** How long a first connection, and each later one, may take, milliseconds. */
const CONNECT_TIMEOUT_MS = 2_000;
/** Reconnect after 50, 100, 200 … 2,000 ms, and up to 100 ms more so that a fleet of processes does not come at once. */
const RECONNECT_FIRST_MS = 50;
const RECONNECT_MOST_MS = 2_000;
const RECONNECT_JITTER_MS = 100;
/** Between two looks at a Redis that is still loading its data. */
const LOADING_CHECK_MS = 500;
/** TCP keepalive, so that an idle connection to a vanished host is noticed. */
const KEEP_ALIVE_MS = 10_000;

const SETTINGS: Settings = {
  address: "REDIS_URL",
  prefix: "REDIS_TLS",
  ask: "rediss:// in REDIS_URL",
};

export interface RedisLinkOptions {
  /** With rediss: its certificate is looked at; `tls_ca`, `tls_cert` and `tls_key` in it name files. */
  readonly url: string;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  /**
   * Milliseconds without a byte of an answer that is due, after which the connection counts as dead and is replaced. Not
   * ioredis' `commandTimeout`: that keeps a timer for each command, and leaves a timed-out one in its queue.
   */
  readonly silenceMs: number;
}

export interface RedisLink {
  /**
   * Runs commands. Before the first connection is made or has failed it waits for that, at most 2 s; later it fails at once
   * when there is no connection. Throws VIEW_UNREACHABLE for everything that Redis or the connection answers with an error:
   * all of it (OOM, READONLY, LOADING, MISCONF too) is a reason to wait and try again, never to drop anything.
   */
  readonly run: <T>(work: (redis: Redis) => Promise<T>) => Promise<T>;
  /** Called after each connection but the first. */
  readonly onReconnect: (listener: () => void) => void;
  /** Lets what is under way finish; nothing can be run afterwards. */
  readonly close: () => Promise<void>;
}

/**
 * Starts to connect and returns at once: a process may start while Redis is down.
 * @throws TwinstreamError CONFIG_INVALID when a certificate's file cannot be used
 */
export function connect(options: RedisLinkOptions): RedisLink {
  const { url, tls } = takeTls(options.url, SETTINGS.prefix);
  const redis = new Redis(url, {
    ...(url.startsWith("rediss:") && { tls: { ...tls, ...serverName(url) } }),
    connectionName: options.name,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disconnectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: KEEP_ALIVE_MS,
    socketTimeout: options.silenceMs,
    maxLoadingRetryTime: LOADING_CHECK_MS,
    // Memory stays flat in an outage: nothing waits in the client for a connection.
    enableOfflineQueue: false,
    // A command whose answer was lost is the caller's to repeat; sent again unasked, a PUBLISH doubles and a write overtakes.
    autoResendUnfulfilledCommands: false,
    // Who subscribes knows what is still wanted, and has to know when it is there again.
    autoResubscribe: false,
    // 0, not 1: with 1, commands that were under way are neither resent nor rejected when the next connection comes up at
    // once (ioredis 6.0.0, readyHandler sets prevCommandQueue to null), and their promises never settle.
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) =>
      Math.min(RECONNECT_FIRST_MS * 2 ** (attempt - 1), RECONNECT_MOST_MS) +
      Math.floor(Math.random() * RECONNECT_JITTER_MS),
  });

  // A Redis that is spoken to by TLS on its plain port waits for the rest of a line; the other way it just closes.
  const noAnswer = url.startsWith("rediss:")
    ? "no answer; is TLS spoken there? See the port in REDIS_URL"
    : "no answer; does it speak TLS alone? Then REDIS_URL begins with rediss://";
  const listeners: (() => void)[] = [];
  let connectedBefore = false;
  /** Why the last attempt failed; null while connected. */
  let lastError: string | null = null;
  redis.on("error", (error: Error) => {
    lastError = explained(wordsOf(error), SETTINGS);
  });
  redis.on("ready", () => {
    lastError = null;
    if (connectedBefore) for (const listener of listeners) listener();
    connectedBefore = true;
  });

  let firstAttempt: Promise<void> | null = firstConnection(redis).then(() => {
    firstAttempt = null;
  });

  const unreachable = (error: unknown): TwinstreamError => {
    const words = wordsOf(error);
    // A primary that was demoted behind its name: only a new connection can find the new one.
    if (words.startsWith("READONLY")) redis.disconnect(true);
    // No `cause`: ioredis hangs the command on its errors, a password and whole batches among its arguments.
    return new TwinstreamError(
      "VIEW_UNREACHABLE",
      isConnectionLoss(error)
        ? `Redis (REDIS_URL) is not connected: ${lastError ?? (connectedBefore ? "the connection broke" : noAnswer)}`
        : `Redis (REDIS_URL) answered: ${explained(words, SETTINGS)}`,
    );
  };

  return {
    async run(work) {
      if (firstAttempt !== null) await firstAttempt;
      try {
        return await work(redis);
      } catch (error) {
        throw error instanceof TwinstreamError ? error : unreachable(error);
      }
    },
    onReconnect: (listener) => void listeners.push(listener),
    async close() {
      if (redis.status === "end") return;
      if (redis.status === "ready") {
        // A connection that breaks during QUIT is closed as well.
        await redis.quit().catch(() => redis.disconnect());
      } else redis.disconnect();
    },
  };
}

/** So that a server that stands for several names knows which one is meant; addresses are not sent. */
function serverName(url: string): { servername?: string } {
  const { hostname } = new URL(url);
  return isIP(hostname.replace(/^\[|\]$/g, "")) === 0
    ? { servername: hostname }
    : {};
}

/** Settles once the first attempt has succeeded or failed, or after 2 s (a Redis that loads its data takes longer). */
async function firstConnection(redis: Redis): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CONNECT_TIMEOUT_MS);
  });
  // A failure reaches the error listener, and ioredis goes on trying.
  await Promise.race([redis.connect().catch(() => undefined), patience]);
  clearTimeout(timer);
}

/** What ioredis rejects commands with when there is no connection, or none any more. */
function isConnectionLoss(error: unknown): boolean {
  const words = reasonOf(error);
  return (
    words.startsWith("Stream isn't writeable") ||
    words.startsWith("Connection is closed") ||
    words.startsWith("Reached the max retries per request limit")
  );
}

/** The error's text; its code where it has none (a refused connection to a name with several addresses has none). */
function wordsOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return reasonOf(error) || code || "unknown";
}
