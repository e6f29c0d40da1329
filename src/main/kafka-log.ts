/** The connection to the log, as every role makes it. */
import { connectLog, type LogConnection } from "../adapters/kafka/connect.js";
import { seldomLines } from "../observe/repeats.js";
import type { RoleBase } from "./role.js";

export function logConnection(
  { config, log }: Pick<RoleBase, "config" | "log">,
  role: string,
): LogConnection {
  const lines = seldomLines(log.child({ part: "kafka" }), Date.now);
  return connectLog({
    brokers: config.KAFKA_BROKERS.split(",").map((broker) => broker.trim()),
    clientId: `twinstream-${role}`,
    log: lines,
  });
}
