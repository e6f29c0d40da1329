/** Where roles answer /metrics. */
import type { Config } from "../config.js";

/** As `npm start` writes them to .twinstream/stack.env. */
const STACK = {
  processor: "METRICS_URL",
  bridge: "METRICS_URL_BRIDGE",
  gateway: "METRICS_URL_GATEWAY",
  worker: "METRICS_URL_WORKER",
} as const;

/** By the role's name, as far as the environment has them. */
export const stackMetricsUrls = (
  env: Readonly<Record<string, string | undefined>>,
): Map<string, string> =>
  new Map(
    Object.entries(STACK).flatMap(([role, variable]) => {
      const url = env[variable] ?? "";
      return url === "" ? [] : [[role, url] as const];
    }),
  );

/** Of a role that runs with these settings on this machine, as host:port. */
export function ownMetricsHost(config: Config): string {
  const host = /^(0\.0\.0\.0|::)$/.test(config.METRICS_HOST)
    ? "127.0.0.1"
    : config.METRICS_HOST;
  return `${host}:${config.METRICS_PORT}`;
}

/** People give it with /metrics and without. */
export const withoutMetrics = (url: string): string =>
  url.replace(/(\/metrics)?\/?$/, "");
