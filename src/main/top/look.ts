/** One look at everything that is running. What does not answer is shown as away, and spoils nothing else. */
import type { LogSurvey, SurveyedGroup } from "../../adapters/kafka/survey.js";
import { TOPIC } from "../../domain/names.js";
import { parseTime } from "../../domain/time.js";
import { reasonOf } from "../../errors.js";
import type { LogBounds, LogInspector } from "../../ports.js";
import { readScrape, type Scrape } from "../scrape.js";

export interface ProcessLook {
  readonly name: string;
  readonly url: string;
  readonly scrape: Scrape;
  /** Why it is not ready, or does not answer; null when all is well. */
  readonly trouble: string | null;
  readonly answers: boolean;
}

export interface StoreLook {
  readonly store: "log" | "redis" | "database";
  readonly pingMs: number | null;
  readonly trouble: string | null;
}

/** What the newest records say of one device. */
export interface DeviceLook {
  readonly address: string;
  readonly messages: number;
  readonly bytes: number;
  /** Longest time from a reading to its arrival, milliseconds; null where its messages bear no time of their own. */
  readonly delayMs: number | null;
}

export interface Look {
  readonly atMs: number;
  readonly groups: readonly SurveyedGroup[];
  readonly stores: readonly StoreLook[];
  readonly processes: readonly ProcessLook[];
  readonly devices: readonly DeviceLook[];
  /** Records since the last look, and those of them that were read for `devices`. */
  readonly records: number;
  readonly sampled: number;
}

export interface LookDeps {
  readonly survey: LogSurvey;
  readonly log: LogInspector;
  readonly redis: () => Promise<void>;
  readonly database: () => Promise<void>;
  readonly processes: readonly {
    readonly name: string;
    readonly url: string;
  }[];
}

const PATIENCE_MS = 1500;
/** Newest records of a partition that a look reads at most, so that it costs the log little. */
const SAMPLE = 500;

/** Each call looks at what came since the one before. */
export function createLooker(deps: LookDeps): () => Promise<Look> {
  let ends: readonly LogBounds[] | null = null;

  async function sample(): Promise<
    Pick<Look, "devices" | "records" | "sampled">
  > {
    const found = new Map<string, Writable<DeviceLook>>();
    let records = 0;
    let sampled = 0;
    const now = await deps.log.bounds(TOPIC.data);
    const before = ends ?? now;
    ends = now;
    await Promise.all(
      now.map(async ({ high: to }, partition) => {
        const since = before[partition]?.high ?? to;
        records += Math.max(0, to - since);
        const from = Math.max(since, to - SAMPLE);
        if (from >= to) return;
        await deps.log.read(
          { topic: TOPIC.data, partition, from, to },
          async (batch) => {
            for (const { key, value } of batch) {
              sampled += 1;
              if (key !== null) add(found, key.toString(), value);
            }
          },
          AbortSignal.timeout(PATIENCE_MS),
        );
      }),
    );
    return { devices: [...found.values()], records, sampled };
  }

  return async () => {
    const [log, groups, sampled, redis, database, processes] =
      await Promise.all([
        ping("log", async () => void (await deps.log.clusterId())),
        deps.survey.groups().catch(() => []),
        sample().catch(() => ({ devices: [], records: 0, sampled: 0 })),
        ping("redis", deps.redis),
        ping("database", deps.database),
        Promise.all(deps.processes.map(lookAt)),
      ]);
    return {
      atMs: Date.now(),
      groups,
      stores: [log, redis, database],
      processes,
      ...sampled,
    };
  };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function add(
  found: Map<string, Writable<DeviceLook>>,
  address: string,
  value: Buffer | null,
): void {
  const device = found.get(address) ?? {
    address,
    messages: 0,
    bytes: 0,
    delayMs: null,
  };
  found.set(address, device);
  device.messages += 1;
  device.bytes += value?.length ?? 0;
  const delay = delayOf(value);
  if (delay !== null) device.delayMs = Math.max(device.delayMs ?? 0, delay);
}

/** From the time that a payload bears to its arrival, milliseconds. The processor judges; this only looks. */
function delayOf(value: Buffer | null): number | null {
  try {
    const { payload, timestamp } = JSON.parse(value?.toString() ?? "") as {
      payload?: Record<string, unknown> | null;
      timestamp?: number;
    };
    const us = parseTime(
      payload?.["ts"] ?? payload?.["timestamp"] ?? payload?.["time"],
    );
    return Number.isNaN(us) || timestamp === undefined
      ? null
      : timestamp * 1000 - us / 1000;
  } catch {
    return null;
  }
}

async function ping(
  store: StoreLook["store"],
  work: () => Promise<void>,
): Promise<StoreLook> {
  const startMs = performance.now();
  try {
    await work();
    return { store, pingMs: performance.now() - startMs, trouble: null };
  } catch (error) {
    return { store, pingMs: null, trouble: reasonOf(error) };
  }
}

async function lookAt({
  name,
  url,
}: LookDeps["processes"][number]): Promise<ProcessLook> {
  const get = (path: string): Promise<Response> =>
    fetch(url + path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  try {
    const [metrics, ready] = await Promise.all([
      get("/metrics"),
      get("/ready"),
    ]);
    const state = (await ready.json()) as {
      ready: boolean;
      parts: { part: string; ok: boolean; reason: string | null }[];
    };
    return {
      name,
      url,
      scrape: readScrape(await metrics.text()),
      trouble: state.ready
        ? null
        : state.parts
            .filter(({ ok }) => !ok)
            .map(({ part, reason }) => `${part}: ${reason}`)
            .join("; "),
      answers: true,
    };
  } catch {
    return {
      name,
      url,
      scrape: [],
      trouble: "does not answer",
      answers: false,
    };
  }
}
