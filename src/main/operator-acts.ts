/** What people do at the command line, as lines of the audit log on stderr: stdout is what was asked for. */
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import { destination } from "pino";
import { Registry } from "prom-client";
import type { Config } from "../config.js";
import { createLogger } from "../observe/logger.js";
import { createObserver } from "../observe/observer.js";

/** `done`: whether it took effect. */
export type TellAct = (
  act: string,
  subject: string,
  tenant: string | null,
  done: boolean,
) => void;

export function createActLog(config: Config): TellAct {
  const log = createLogger(
    { ...config, LOG_LEVEL: "warn" },
    destination({ dest: 2, sync: true }),
  );
  const observer = createObserver({ log, registry: new Registry() });
  return (act, subject, tenant, done) =>
    observer.emit({
      type: "audit",
      act,
      user: `${whoRuns()} at the command line`,
      tenant,
      requestId: randomUUID(),
      outcome: done ? "ok" : "refused",
      status: null,
      subject,
      from: null,
    });
}

/** Who is at the command line, by the operating system. */
export function whoRuns(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user often has a number and no name.
    return `uid ${process.getuid?.()}`;
  }
}
