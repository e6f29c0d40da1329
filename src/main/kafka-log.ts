/** The connection to the log, as every role makes it. */
import { connectLog, type LogConnection } from "../adapters/kafka/connect.js";
import type { RoleBase } from "./role.js";

export function logConnection(
  { config, log }: Pick<RoleBase, "config" | "log">,
  role: string,
): LogConnection {
  const lines = log.child({ part: "kafka" });
  return connectLog({
    brokers: config.KAFKA_BROKERS.split(",").map((broker) => broker.trim()),
    clientId: `twinstream-${role}`,
    log: (level, message, fields) => lines[level](fields, message),
  });
}
