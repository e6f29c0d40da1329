/**
 * The one place where kafkajs is set up: addresses, time limits, its log lines, its codecs, and the repairs of it.
 */
import {
  Kafka,
  type LogEntry,
  type RetryOptions,
  type SASLOptions,
  logLevel,
} from "kafkajs";
import { readTls, type TlsFiles } from "../tls/files.js";
import { registerCodecs } from "./codecs.js";
import {
  handleRecordsOurselves,
  leaveSilentConnections,
  quietIdleQueues,
} from "./internals.js";

export type LogLevel = "debug" | "info" | "warn" | "error";
/** Takes what kafkajs and this room have to say; `fields` may hold topic, partition, groupId and the like. */
export type LogLine = (
  level: LogLevel,
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

export interface LogSettings {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly log: LogLine;
  readonly security?: LogSecurity;
  /** Milliseconds until a connection attempt is given up. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds until a request that got no answer is given up (its outcome is then unknown). */
  readonly requestTimeoutMs?: number;
}

export interface LogSecurity {
  /** Null for plain text. */
  readonly tls: TlsFiles | null;
  /** Null where the brokers ask for no log-in. */
  readonly sasl: {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
    readonly username: string;
    readonly password: string;
  } | null;
}

/** What the rest of this room works with. It holds no connection itself. */
export interface LogConnection {
  readonly kafka: Kafka;
  /** A client beside `kafka`: consumers of one client and group share their offsets (kafkajs' `committedOffsetsByGroup`). */
  ownClient(): Kafka;
  readonly log: LogLine;
}

/**
 * Of a connection and of single requests; delays double from 100 ms, ± 20 %: about 1.5 s in all. kafkajs nests its retries
 * (a send that is tried again connects again, with these tries), so each number multiplies.
 */
const RETRY: RetryOptions = {
  initialRetryTime: 100,
  maxRetryTime: 2000,
  retries: 4,
};

/**
 * Connects to nothing yet: a writer, inspector or feed does when it is first used.
 * @throws TwinstreamError CONFIG_INVALID when a certificate's file cannot be used
 */
export function connectLog(settings: LogSettings): LogConnection {
  quietIdleQueues();
  leaveSilentConnections();
  handleRecordsOurselves();
  registerCodecs();
  const { log, security } = settings;
  const ssl = security?.tls ? readTls(security.tls, "KAFKA_TLS") : false;
  const ownClient = () =>
    new Kafka({
      brokers: [...settings.brokers],
      clientId: settings.clientId,
      ssl,
      // A copy for each client: kafkajs keeps its own things in there.
      ...(security?.sasl && { sasl: { ...security.sasl } as SASLOptions }),
      connectionTimeout: settings.connectTimeoutMs ?? 3000,
      requestTimeout: settings.requestTimeoutMs ?? 15_000,
      retry: RETRY,
      logLevel: logLevel.INFO,
      logCreator: () => (entry) => log(...lineOf(entry)),
    });
  return { kafka: ownClient(), ownClient, log };
}

/** Lines of kafkajs that say nothing is wrong although their level says so, or that come with every pause. */
const ORDINARY = [
  /^Pausing fetching from/,
  /^Resuming fetching from/,
  /^Response Heartbeat/,
  /^Response (JoinGroup|SyncGroup)/,
];

function lineOf({
  namespace,
  level,
  log: { message, ...fields },
}: LogEntry): Parameters<LogLine> {
  const severity = ORDINARY.some((pattern) => pattern.test(message))
    ? "debug"
    : level <= logLevel.ERROR
      ? "error"
      : level === logLevel.WARN
        ? "warn"
        : level === logLevel.INFO
          ? "info"
          : "debug";
  return [severity, message, { ...fields, namespace }];
}
