/** What `twinstream capacity` looks at: metrics of the roles, twice; the log's newest records; Redis; the database. */
import pino from "pino";
import { setTimeout as pause } from "node:timers/promises";
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { type RedisUsage, readRedisUsage } from "../adapters/redis/usage.js";
import { readStoreStatus } from "../adapters/timescale/store-status.js";
import {
  type DatabaseUsage,
  readDatabaseUsage,
} from "../adapters/timescale/usage.js";
import type { Config } from "../config.js";
import {
  type Cost,
  createCostBook,
  type DeviceCost,
  type Exposition,
  type Headroom,
  headrooms,
  type Load,
  readExposition,
} from "../domain/capacity.js";
import { chooserOf } from "../domain/adapters/registry.js";
import { createDecoder, isDeadLetter } from "../domain/decode.js";
import { TOPIC } from "../domain/names.js";
import { reasonOf, TwinstreamError } from "../errors.js";
import { decodeRules } from "./decode-rules.js";
import { logConnection } from "./kafka-log.js";

export interface CapacityOptions {
  /** By the role's name. */
  readonly metrics: ReadonlyMap<string, string>;
  /** Between the two looks. */
  readonly seconds: number;
  /** Of the log, for the devices. */
  readonly windowSeconds: number;
  readonly top: number;
}

export interface RoleLoad {
  readonly role: string;
  readonly url: string;
  /** Why it could not be asked; null when it was. */
  readonly trouble: string | null;
  /** Of a core. */
  readonly cores: number;
  readonly residentBytes: number;
  /** Messages a second through it: a processor's stored ones, a bridge's onto the log. */
  readonly messagesPerSecond: number;
  readonly pointsPerSecond: number;
  readonly actors: number;
  readonly lag: number;
}

export interface Capacity {
  readonly at: string;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly pointsPerSecond: number;
  readonly roles: readonly RoleLoad[];
  readonly headroom: readonly Headroom[];
  readonly log: {
    readonly partitions: number;
    readonly recordsPerSecond: number;
    readonly bytesPerSecond: number;
    /** Of all records, how many lie in the fullest partition: 1 / partitions is even. */
    readonly busiestShare: number;
    readonly windowSeconds: number;
  };
  readonly redis: RedisUsage;
  readonly database: DatabaseUsage & {
    readonly rows: number;
    readonly rawBytes: number;
    /** At today's rate. */
    readonly rowsPerDay: number;
  };
  readonly devices: {
    readonly seen: number;
    readonly top: readonly DeviceCost[];
  };
}

const DAY_SECONDS = 86_400;
const ASK_MS = 5000;
/** Of a partition at most, its newest: what a busy log holds of a minute would take longer than that to read. */
const RECORDS = 20_000;

/** @throws TwinstreamError where the log, Redis or the database cannot be reached; a role that does not answer is told */
export async function lookAtCapacity(
  config: Config,
  options: CapacityOptions,
): Promise<Capacity> {
  const first = await askAll(options.metrics);
  const redisBefore = await readRedisUsage(config.REDIS_URL);
  const beganMs = performance.now();
  const log = await lookAtLog(config, options);
  const database = await readDatabaseUsage(config.DATABASE_URL);
  const store = await readStoreStatus(config.DATABASE_URL);
  const spent = (performance.now() - beganMs) / 1000;
  if (spent < options.seconds) await pause((options.seconds - spent) * 1000);
  const redis = await readRedisUsage(config.REDIS_URL);
  const second = await askAll(options.metrics);
  const seconds = (performance.now() - beganMs) / 1000;

  const roles = [...options.metrics].map(([role, url]) =>
    roleLoad(role, url, first.get(role)!, second.get(role)!, seconds),
  );
  const stored = roles.reduce((sum, role) => sum + role.pointsPerSecond, 0);
  const rate = roles.reduce(
    (most, role) => Math.max(most, role.messagesPerSecond),
    0,
  );
  const redisCores = (redis.cpuSeconds - redisBefore.cpuSeconds) / seconds;
  const loads: Load[] = [
    ...roles.flatMap((role) => loadsOf(role, second.get(role.role)!, config)),
    {
      part: "redis",
      what: "its core",
      used: redisCores,
      full: 1,
      unit: "cores",
      withRate: true,
      remedy:
        "Redis works on one thread: give it a faster core, then a second installation for a share of the tenants",
    },
    {
      part: "redis",
      what: redis.limited ? "maxmemory" : "the machine's memory",
      used: redis.usedBytes,
      full: redis.mostBytes,
      unit: "bytes",
      withRate: false,
      remedy: "lower HISTORY_HOURS, or raise maxmemory on a larger machine",
    },
    {
      part: "database",
      what: "connections",
      used: database.connections,
      full: database.mostConnections,
      unit: "connections",
      withRate: false,
      remedy: "lower DB_POOL_MAX of the roles, or raise max_connections",
    },
  ];
  return {
    at: new Date().toISOString(),
    seconds,
    messagesPerSecond: rate,
    pointsPerSecond: stored,
    roles,
    headroom: headrooms(loads, rate),
    log: log.load,
    redis,
    database: {
      ...database,
      rows: store.estimatedRows,
      rawBytes: store.chunks.reduce((total, { bytes }) => total + bytes, 0),
      rowsPerDay: Math.round(stored * DAY_SECONDS),
    },
    devices: log.devices,
  };
}

type Answer = Exposition | string;

async function askAll(
  urls: ReadonlyMap<string, string>,
): Promise<Map<string, Answer>> {
  const answers = await Promise.all(
    [...urls].map(async ([role, url]): Promise<[string, Answer]> => {
      try {
        const signal = AbortSignal.timeout(ASK_MS);
        const answer = await fetch(
          `${url.replace(/\/$/, "").replace(/\/metrics$/, "")}/metrics`,
          { signal },
        );
        if (!answer.ok) return [role, `answered ${answer.status}`];
        return [role, readExposition(await answer.text())];
      } catch (error) {
        return [role, reasonOf(error)];
      }
    }),
  );
  return new Map(answers);
}

function roleLoad(
  role: string,
  url: string,
  before: Answer,
  after: Answer,
  seconds: number,
): RoleLoad {
  const none = {
    role,
    url,
    cores: 0,
    residentBytes: 0,
    messagesPerSecond: 0,
    pointsPerSecond: 0,
    actors: 0,
    lag: 0,
  };
  if (typeof before === "string") return { ...none, trouble: before };
  if (typeof after === "string") return { ...none, trouble: after };
  const now = (name: string): number => after.sum.get(name) ?? 0;
  const rate = (name: string): number =>
    Math.max(0, now(name) - (before.sum.get(name) ?? 0)) / seconds;
  return {
    ...none,
    trouble: null,
    cores: rate("process_cpu_seconds_total"),
    residentBytes: now("process_resident_memory_bytes"),
    messagesPerSecond: Math.max(
      rate("ingest_messages_total"),
      rate("bridge_messages_total"),
    ),
    pointsPerSecond: rate("ingest_points_total"),
    actors: now("actors_alive"),
    lag: now("consumer_lag"),
  };
}

function loadsOf(
  { role, trouble, cores, actors }: RoleLoad,
  answer: Answer,
  config: Config,
): Load[] {
  if (trouble !== null || typeof answer === "string") return [];
  const now = (name: string): number => answer.sum.get(name) ?? 0;
  const works = now("lanes_assigned") > 0;
  const loads: Load[] = [
    {
      part: role,
      what: "its core",
      used: cores,
      full: 1,
      unit: "cores",
      withRate: true,
      remedy: works
        ? "start another processor: the group shares the partitions out, up to one for each"
        : "start another process of this role (bridges: deploy/operations.md, Several bridges)",
    },
  ];
  if (works)
    loads.push(
      {
        part: role,
        what: "live actors",
        used: actors,
        full: config.MAX_LIVE_ACTORS,
        unit: "actors",
        withRate: false,
        remedy:
          "raise MAX_LIVE_ACTORS where there is memory (deploy/capacity.md), or start another processor",
      },
      {
        part: role,
        what: "INGEST_QUEUE_MAX",
        used: now("ingest_queue_size"),
        full: config.INGEST_QUEUE_MAX,
        unit: "messages",
        withRate: false,
        remedy:
          "a full queue is a database that is slower than the log: see flush_seconds of the database",
      },
    );
  if (now("bridge_window_messages") > 0)
    loads.push({
      part: role,
      what: "BRIDGE_WINDOW",
      used: now("bridge_window_messages"),
      full: config.BRIDGE_WINDOW,
      unit: "messages",
      withRate: false,
      remedy:
        "a full window is a log that answers slowly: see bridge_append_seconds",
    });
  return loads;
}

async function lookAtLog(
  config: Config,
  { windowSeconds, top }: CapacityOptions,
): Promise<{ load: Capacity["log"]; devices: Capacity["devices"] }> {
  const log = createLogInspector(
    logConnection({ config, log: pino({ level: "silent" }) }, "capacity"),
  );
  try {
    const fromMs = Date.now() - windowSeconds * 1000;
    const bounds = await log.bounds(TOPIC.data);
    const begins = await log.offsetsAt(TOPIC.data, fromMs);
    const decoder = createDecoder({
      ...decodeRules(config, bounds.length),
      tenants: { has: () => true } as unknown as ReadonlySet<string>,
      adapterOf: chooserOf(() => new Map()),
    });
    const book = createCostBook();
    const rates: number[] = [];
    let bytesPerSecond = 0;
    for (const [partition, { low, high }] of bounds.entries()) {
      const since = Math.max(low, begins[partition] ?? high);
      const from = Math.max(since, high - RECORDS);
      const costs: Cost[] = [];
      let firstMs = fromMs;
      if (from < high)
        await log.read(
          { topic: TOPIC.data, partition, from, to: high },
          async (records) => {
            if (costs.length === 0 && from > since)
              firstMs = records[0]!.timestampMs;
            for (const record of records) {
              const message = decoder.decode(record);
              const key = record.key?.toString() ?? "(no key)";
              costs.push({
                address: isDeadLetter(message) ? key : message.address,
                bytes: (record.value?.length ?? 0) + (record.key?.length ?? 0),
                points:
                  !isDeadLetter(message) && message.kind === "data"
                    ? message.points.length
                    : 0,
              });
            }
          },
          AbortSignal.timeout(60_000),
        );
      const seconds = Math.max(1, (Date.now() - firstMs) / 1000);
      book.add(costs, seconds);
      rates.push(costs.length / seconds);
      bytesPerSecond +=
        costs.reduce((sum, { bytes }) => sum + bytes, 0) / seconds;
    }
    const total = rates.reduce((sum, rate) => sum + rate, 0);
    const { devices, top: costliest } = book.costliest(top);
    return {
      load: {
        partitions: bounds.length,
        recordsPerSecond: total,
        bytesPerSecond,
        busiestShare: total === 0 ? 0 : Math.max(...rates) / total,
        windowSeconds,
      },
      devices: { seen: devices, top: costliest },
    };
  } catch (error) {
    if (error instanceof TwinstreamError) throw error;
    throw new TwinstreamError(
      "LOG_UNREACHABLE",
      "reading the log's newest records",
      { cause: error },
    );
  } finally {
    await log.close();
  }
}
