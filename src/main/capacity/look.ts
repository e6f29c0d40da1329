/** What `twinstream capacity` looks at: metrics of the roles, twice; the log's newest records; Redis; the database. */
import { setTimeout as pause } from "node:timers/promises";
import { type RedisUsage, readRedisUsage } from "../../adapters/redis/usage.js";
import { readStoreStatus } from "../../adapters/timescale/store-status.js";
import {
  type DatabaseUsage,
  readDatabaseUsage,
} from "../../adapters/timescale/usage.js";
import type { Config } from "../../config.js";
import { type Headroom, headrooms, type Load } from "../../domain/capacity.js";
import { type DevicesSeen, type LogLoad, lookAtLog } from "./log.js";
import { askRoles, type RoleLoad, roleLoad, roleLoads } from "./roles.js";

export interface CapacityOptions {
  /** By the role's name. */
  readonly metrics: ReadonlyMap<string, string>;
  /** Between the two looks. */
  readonly seconds: number;
  /** Of the log, for the devices. */
  readonly windowSeconds: number;
  readonly top: number;
}

export interface Capacity {
  readonly at: string;
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly pointsPerSecond: number;
  readonly roles: readonly RoleLoad[];
  readonly headroom: readonly Headroom[];
  readonly log: LogLoad;
  readonly redis: RedisUsage;
  readonly database: DatabaseUsage & {
    readonly rows: number;
    readonly rawBytes: number;
    /** At today's rate. */
    readonly rowsPerDay: number;
  };
  readonly devices: DevicesSeen;
}

const DAY_SECONDS = 86_400;

/** @throws TwinstreamError where the log, Redis or the database cannot be reached; a role that does not answer is told */
export async function lookAtCapacity(
  config: Config,
  options: CapacityOptions,
): Promise<Capacity> {
  const first = await askRoles(options.metrics);
  const redisBefore = await readRedisUsage(config.REDIS_URL);
  const beganMs = performance.now();
  const log = await lookAtLog(config, options);
  const database = await readDatabaseUsage(config.DATABASE_URL);
  const store = await readStoreStatus(config.DATABASE_URL);
  const spent = (performance.now() - beganMs) / 1000;
  if (spent < options.seconds) await pause((options.seconds - spent) * 1000);
  const redis = await readRedisUsage(config.REDIS_URL);
  const second = await askRoles(options.metrics);
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
  const loads = [
    ...roles.flatMap((role) => roleLoads(role, second.get(role.role)!, config)),
    ...redisLoads(redis, redisCores),
    connectionLoad(database),
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

const redisLoads = (redis: RedisUsage, cores: number): Load[] => [
  {
    part: "redis",
    what: "its core",
    used: cores,
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
];

const connectionLoad = (database: DatabaseUsage): Load => ({
  part: "database",
  what: "connections",
  used: database.connections,
  full: database.mostConnections,
  unit: "connections",
  withRate: false,
  remedy: "lower DB_POOL_MAX of the roles, or raise max_connections",
});
