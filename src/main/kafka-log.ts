/** The connection to the log, as every role and every command makes it. */
import pino from "pino";
import {
  connectLog,
  type LogConnection,
  type LogSecurity,
} from "../adapters/kafka/connect.js";
import { type Config, listOf } from "../config.js";
import { seldomLines } from "../observe/repeats.js";
import type { RoleBase } from "./role.js";

export function logConnection(
  { config, log }: Pick<RoleBase, "config" | "log">,
  role: string,
): LogConnection {
  const lines = seldomLines(log.child({ part: "kafka" }), Date.now);
  return connectLog({
    ...brokersOf(config),
    clientId: `twinstream-${role}`,
    log: lines,
  });
}

/** For a command: what does not work it tells in its own words. */
export const commandLogConnection = (
  config: Config,
  command: string,
): LogConnection =>
  logConnection({ config, log: pino({ level: "silent" }) }, command);

/** Where the log is, and how it is spoken to. */
export function brokersOf(config: Config): {
  brokers: string[];
  security: LogSecurity;
} {
  const {
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: username = "",
    KAFKA_SASL_PASSWORD: password = "",
  } = config;
  return {
    brokers: listOf(config.KAFKA_BROKERS),
    security: {
      tls:
        config.KAFKA_TLS === "on"
          ? {
              ca: config.KAFKA_TLS_CA,
              cert: config.KAFKA_TLS_CERT,
              key: config.KAFKA_TLS_KEY,
            }
          : null,
      sasl: mechanism === undefined ? null : { mechanism, username, password },
    },
  };
}
