/** The structured log: JSON lines on stdout (or lines for people), with nothing in them that must stay secret. */
import { createRequire } from "node:module";
import { type DestinationStream, type Logger, pino } from "pino";

export interface LogSettings {
  readonly LOG_LEVEL: string;
  readonly LOG_FORMAT: "json" | "pretty";
}

const HIDDEN = "[hidden]";
/** Keys whose values are never printed, at the top of a line or one level below. */
const SECRET_KEYS = [
  "password",
  "secret",
  "token",
  "access_token",
  "refresh_token",
  "ticket",
  "authorization",
  "cookie",
  "JWT_SECRET",
  "MINIO_ACCESS_KEY",
  "MINIO_SECRET_KEY",
  "KAFKA_SASL_PASSWORD",
] as const;
/** `scheme://user:password@`; greedy, as a password typed by hand may hold an `@`. */
const URL_PASSWORD = /\b([a-z][a-z0-9+.-]*:\/\/[^\s/:@"]*):[^\s/"]+@/gi;
const KEY_VALUE = /\b(password|passwd|secret|token|ticket)=[^\s&"\\]+/gi;

/** A text without passwords of URLs and `password=…` pairs: errors of clients quote their connection strings. */
export function withoutSecrets(text: string): string {
  return text
    .replace(URL_PASSWORD, `$1:${HIDDEN}@`)
    .replace(KEY_VALUE, `$1=${HIDDEN}`);
}

/**
 * The process's logger. `pretty` needs pino-pretty, which is there on a developer's machine; without it lines are JSON.
 * Lines are written synchronously, so that none is lost when the process ends.
 */
export function createLogger(
  settings: LogSettings,
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): Logger {
  return pino(
    {
      level: settings.LOG_LEVEL,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]),
        censor: HIDDEN,
      },
      hooks: { streamWrite: withoutSecrets },
    },
    settings.LOG_FORMAT === "pretty" ? pretty(destination) : destination,
  );
}

type PrettyFactory = (options: { ignore: string }) => (line: string) => string;

function pretty(destination: DestinationStream): DestinationStream {
  const require = createRequire(import.meta.url);
  try {
    require.resolve("pino-pretty");
  } catch {
    return destination;
  }
  const { prettyFactory } = require("pino-pretty") as {
    prettyFactory: PrettyFactory;
  };
  const format = prettyFactory({ ignore: "pid,hostname" });
  return { write: (line) => destination.write(format(line)) };
}
