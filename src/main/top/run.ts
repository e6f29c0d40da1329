/** `twinstream top`, put together. */
import { setTimeout as pause } from "node:timers/promises";
import { createLogInspector } from "../../adapters/kafka/inspector.js";
import { createLogSurvey } from "../../adapters/kafka/survey.js";
import { createDeviceViewReader } from "../../adapters/redis/device-view-reader.js";
import { createDeviceRecords } from "../../adapters/timescale/device-records.js";
import { type Config, listOf, loadConfig } from "../../config.js";
import { commandLogConnection } from "../kafka-log.js";
import {
  ownMetricsHost,
  stackMetricsUrls,
  withoutMetrics,
} from "../metrics-urls.js";
import type { TopOptions } from "../top.js";
import { figuresOf } from "./figures.js";
import { frameOf } from "./frame.js";
import { createLooker, type Look, type LookDeps } from "./look.js";
import { openScreen } from "./screen.js";

export async function run(options: TopOptions): Promise<void> {
  const config = loadConfig(process.env);
  const connection = commandLogConnection(config, "top");
  const survey = createLogSurvey(connection);
  const log = createLogInspector(connection);
  const view = createDeviceViewReader({ url: config.REDIS_URL });
  const records = createDeviceRecords({
    url: config.DATABASE_READ_URL ?? config.DATABASE_URL,
    name: "top",
    poolMin: 0,
    poolMax: 1,
  });
  const look = createLooker({
    survey,
    log,
    redis: () => view.ping(),
    database: () => records.ping(),
    processes: processesOf(config, options.metrics),
  });
  try {
    if (options.once || options.json || !process.stdout.isTTY)
      await print(look, options);
    else await watch(look, options);
  } finally {
    await Promise.allSettled([
      survey.close(),
      log.close(),
      view.close(),
      records.close(),
    ]);
  }
}

/** One time, or with --json alone again and again. */
async function print(
  look: () => Promise<Look>,
  { interval, once, json }: TopOptions,
): Promise<void> {
  // `… | head` closes the pipe: it has what it wanted.
  process.stdout.on("error", () => process.exit(0));
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stop.abort());
  let before = await look();
  do {
    await pause(interval * 1000, undefined, { signal: stop.signal }).catch(
      () => undefined,
    );
    if (stop.signal.aborted) return;
    const after = await look();
    const figures = figuresOf(before, after);
    console.log(
      json
        ? JSON.stringify(figures)
        : frameOf(figures, {
            columns: process.stdout.columns || 160,
            rows: 0,
          }).join("\n"),
    );
    before = after;
  } while (json && !once);
}

async function watch(
  look: () => Promise<Look>,
  { interval }: TopOptions,
): Promise<void> {
  const screen = openScreen();
  try {
    const title = `twinstream top   every ${interval} s, q leaves`;
    screen.show([title, "", "looking …"]);
    let before = await look();
    while (!screen.left.aborted) {
      await pause(interval * 1000, undefined, { signal: screen.left }).catch(
        () => undefined,
      );
      if (screen.left.aborted) return;
      const after = await look();
      const { columns, rows } = screen.size();
      const lines = frameOf(figuresOf(before, after), {
        columns,
        rows: rows - 2,
      });
      const time = new Date(after.atMs).toISOString().slice(0, 19);
      screen.show([`${title}   ${time}Z`.slice(0, columns), "", ...lines]);
      before = after;
    }
  } finally {
    screen.restore();
  }
}

/** As given; else as `npm start` writes them down; else the one of the settings. */
function processesOf(
  config: Config,
  given: string | undefined,
): LookDeps["processes"] {
  if (given !== undefined)
    return listOf(given).map((url) => ({
      name: url.replace(/^https?:\/\//, ""),
      url: withoutMetrics(url),
    }));
  const known = [...stackMetricsUrls(process.env)];
  if (known.length > 0)
    return known.map(([name, url]) => ({ name, url: withoutMetrics(url) }));
  const at = ownMetricsHost(config);
  return [{ name: at, url: `http://${at}` }];
}
