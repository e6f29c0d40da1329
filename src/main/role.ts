/** What every role needs around it: settings, log, metrics, readiness, signals, and stopping in reverse order. */
import closeWithGrace from "close-with-grace";
import type { Logger } from "pino";
import { Registry } from "prom-client";
import { type Config, loadConfig } from "../config.js";
import { plainTextCautions } from "../config/addresses.js";
import { reasonOf } from "../errors.js";
import { createLogger } from "../observe/logger.js";
import { startMetricsServer } from "../observe/metrics-server.js";
import { createObserver } from "../observe/observer.js";
import { exposeReadiness } from "../observe/readiness-metric.js";
import { createReadiness, type Readiness } from "../observe/readiness.js";
import type { Observer, Tracer } from "../ports.js";
import { openTracing } from "./tracing.js";

export interface RoleBase {
  readonly config: Config;
  readonly log: Logger;
  readonly observer: Observer;
  readonly registry: Registry;
  readonly readiness: Readiness;
  /** Where traces are wanted. */
  readonly tracer?: Tracer | undefined;
  /** What is to be done when the process stops; the latest first. */
  onStop(what: string, release: () => Promise<unknown>): void;
  /** Ends the process with a reason, to be started again by whoever supervises it. */
  giveUp(reason: string): void;
}

export interface Role {
  readonly name: string;
  /** Builds the role from its adapters and starts it; what it acquired is released by `onStop`, also when it fails. */
  start(base: RoleBase): Promise<void>;
}

/** A clean stop takes no longer; past it the process ends, and the log has what was not stored. */
const STOP_MS = 20_000;

/** Runs roles in this process until a signal; several share its log, metrics and readiness. */
export async function runRoles(roles: readonly Role[]): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLogger(config).child({
    role: roles.map(({ name }) => name).join("+"),
  });
  const registry = new Registry();
  const observer = createObserver({
    log,
    registry,
    databaseDiskBytes: config.DATABASE_DISK_BYTES,
  });
  const readiness = createReadiness(roles.map(({ name }) => name));
  exposeReadiness(registry, readiness);
  const tracing = await openTracing(process.env, {
    service: `twinstream-${roles.map(({ name }) => name).join("+")}`,
    sampling: config.TRACE_SAMPLING,
    log,
  });
  const releasers: { what: string; release: () => Promise<unknown> }[] = [];

  closeWithGrace({ delay: STOP_MS, logger: log }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, "ending");
    else log.info({ signal }, "stopping");
    for (const { what, release } of releasers.toReversed()) {
      try {
        await release();
      } catch (error) {
        log.warn({ what, error: reasonOf(error) }, "did not stop cleanly");
      }
    }
    log.info("stopped");
  });
  const base: RoleBase = {
    config,
    log,
    observer,
    registry,
    readiness,
    tracer: tracing?.tracer,
    onStop: (what, release) => releasers.push({ what, release }),
    giveUp(reason) {
      // Thrown from nowhere, so that it ends the process the way any other error does: what was acquired is released, and
      // the exit code is 1.
      setImmediate(() => {
        throw new Error(reason);
      });
    },
  };

  if (tracing !== undefined) base.onStop("traces", tracing.close);
  const metrics = await startMetricsServer({
    host: config.METRICS_HOST,
    port: config.METRICS_PORT,
    registry,
    readiness,
  });
  base.onStop("metrics", metrics.close);
  log.info({ metrics: metrics.url }, "starting");
  if (config.NODE_ENV === "production")
    for (const caution of plainTextCautions(config)) log.warn(caution);
  for (const role of roles) await role.start(base);
}
