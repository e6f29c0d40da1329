/** The MinIO client, connected so that no request hangs, and its errors in the domain's codes. */
import http from "node:http";
import https from "node:https";
import { Client } from "minio";
import { TwinstreamError } from "../../errors.js";
import { readTls } from "../tls/files.js";
import { codeOf, unreachable } from "./failure.js";

export interface MinioOptions {
  /** `http://host:port` or `https://host`; plain HTTP without a scheme. */
  readonly endpoint: string;
  /** PEM file of the authority that signed its certificate; the public ones are trusted without. */
  readonly caFile?: string | undefined;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly bucket: string;
  /** Milliseconds a request may be silent; 30,000 unless told. */
  readonly silenceMs?: number;
}

export interface MinioLink {
  readonly client: Client;
  /** Where it is, for people. */
  readonly where: string;
  readonly silenceMs: number;
  /** @throws TwinstreamError OBJECTS_UNREACHABLE, or what `work` throws as one */
  call<T>(what: string, work: () => Promise<T>): Promise<T>;
  close(): void;
}

const SILENCE_MS = 30_000;
/** An idle connection goes before the server ends it, which would break the next request. */
const IDLE_MS = 5000;
/** Answers that the client gives up on without reading them (its `retryHttpCodes`); unread they would keep their socket. */
const UNREAD = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

/** @throws TwinstreamError CONFIG_INVALID */
export function connectMinio(options: MinioOptions): MinioLink {
  const url = addressOf(options.endpoint);
  const secure = url.protocol === "https:";
  const silenceMs = options.silenceMs ?? SILENCE_MS;
  const agent = new (secure ? https : http).Agent({
    keepAlive: true,
    timeout: IDLE_MS,
    ...(secure && readTls({ ca: options.caFile }, "MINIO_TLS")),
  });
  const client = new Client({
    endPoint: url.hostname,
    port: Number(url.port) || (secure ? 443 : 80),
    useSSL: secure,
    accessKey: options.accessKey,
    secretKey: options.secretKey,
    transportAgent: agent,
    transport: { request: watched(secure ? https : http, silenceMs) },
    // It would say so on stderr; whoever calls us has its own patience.
    retryOptions: { disableRetry: true },
  });
  const where = `MinIO at ${url.origin}, bucket ${options.bucket}`;
  return {
    client,
    where,
    silenceMs,
    async call(what, work) {
      try {
        return await work();
      } catch (error) {
        throw failureOf(where, what, error);
      }
    },
    close: () => agent.destroy(),
  };
}

function addressOf(endpoint: string): URL {
  const text = endpoint.includes("://") ? endpoint : `http://${endpoint}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  const good =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === "/" &&
    url.username === "";
  if (good) return url;
  throw new TwinstreamError(
    "CONFIG_INVALID",
    "MINIO_ENDPOINT must be http://host:port or https://host:port, without user or path",
  );
}

/** Requests that end when nothing moves for so long: the client has no time-out of its own. */
function watched(
  transport: Pick<typeof http, "request">,
  silenceMs: number,
): typeof http.request {
  const request = (
    options: http.RequestOptions,
    answered: (response: http.IncomingMessage) => void,
  ): http.ClientRequest => {
    const sent = transport.request(options, (response) => {
      if (UNREAD.has(response.statusCode ?? 0)) response.resume();
      answered(response);
    });
    sent.setTimeout(silenceMs, () =>
      sent.destroy(new Error(`silent for ${silenceMs} ms`)),
    );
    return sent;
  };
  // The client calls it in this form alone.
  return request as typeof http.request;
}

function failureOf(
  where: string,
  what: string,
  error: unknown,
): TwinstreamError {
  const code = codeOf(error);
  return code === "NoSuchKey"
    ? new TwinstreamError("NOT_FOUND", `${where}: ${what}: no such object`)
    : unreachable(`${where}: ${what}${code === "" ? "" : ` (${code})`}`, error);
}
