/** What kafkajs throws, as an error of ours. */
import { reasonOf, TwinstreamError } from "../../errors.js";
import { adviceOn, explained, type Settings } from "../tls/trouble.js";

const SETTINGS: Settings = {
  address: "KAFKA_BROKERS",
  prefix: "KAFKA_TLS",
  logIn: "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
  ask: "KAFKA_TLS=on",
};

/** The broker's name of the error, e.g. `MESSAGE_TOO_LARGE`; looks through kafkajs' wrappers; null when there is none. */
export function brokerErrorOf(error: unknown): string | null {
  for (let e = error; e instanceof Error; e = e.cause) {
    const type = (e as { type?: unknown }).type;
    if (typeof type === "string") return type;
  }
  return null;
}

/** LOG_UNREACHABLE with what was being done; an error of ours stays as it is. */
export function unreachable(doing: string, error: unknown): TwinstreamError {
  if (error instanceof TwinstreamError) return error;
  return new TwinstreamError(
    "LOG_UNREACHABLE",
    `${doing}: ${explained(reasonOf(error), SETTINGS)}`,
    { cause: error },
  );
}

/** Whether it is about certificates or the log-in: asking again at once changes nothing. */
export function isMisset(error: unknown): boolean {
  return adviceOn(reasonOf(error), SETTINGS) !== null;
}
