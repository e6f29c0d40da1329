/** Working off a backlog once: who does it, how long it takes, what it costs, and what it leaves. */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import pg from "pg";
import { withoutJobs } from "../../support/database.js";
import { NODE_OPTIONS, runCommand, startRole } from "../../support/roles.js";
import { type Stack, withOwnStack } from "../../support/services.js";
import { until } from "../../support/wait.js";
import {
  type Backlog,
  committed,
  connection,
  deviceName,
  fill,
  joined,
} from "./backlog.js";
import { cpuSeconds, peakMib } from "./processes.js";

export const BARE = fileURLToPath(
  new URL("../bare-pipeline.js", import.meta.url),
);
export const PARTS = ["process", "redis", "database", "log"] as const;
export type Part = (typeof PARTS)[number];

export interface Drained {
  readonly messagesPerSecond: number;
  /** Microseconds a message. */
  readonly cpu: Readonly<Record<Part, number>>;
  readonly peakMib: number;
  /** Equal when the same was stored. */
  readonly left: string;
}

export interface Drainer {
  /** Another composition root than the command line's. */
  readonly script?: string;
  /** Options of Node's own beside those that processors are started with; the bare pipeline has none but these. */
  readonly node?: readonly string[];
  /** Beside those of the backlog. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Processes of the group, one unless told. */
  readonly processes?: number;
}

let groups = 0;

/** A stack of its own with a backlog on its log; `drain` works it off, and again: each run begins with empty stores. */
export async function withBacklog(
  backlog: Backlog,
  settings: Readonly<Record<string, string>>,
  work: (
    drain: (drainer: Drainer) => Promise<Drained>,
    bytes: number,
  ) => Promise<void>,
): Promise<void> {
  await withOwnStack(["kafka", "redis", "postgres", "mqtt"], async (stack) => {
    const env = { ...stack.env, ...settings };
    const migrated = await runCommand(["migrate"], env);
    if (migrated.code !== 0) throw new Error(migrated.output);
    await withoutJobs(env["DATABASE_URL"]!);
    const bytes = await fill(env["KAFKA_BROKERS"]!, backlog);
    await work(
      (drainer) => drain(stack, env, backlog.messages, drainer),
      bytes,
    );
  });
}

async function drain(
  { services }: Stack,
  env: Readonly<Record<string, string>>,
  messages: number,
  { script, node = [], settings = {}, processes = 1 }: Drainer,
): Promise<Drained> {
  const group = `bench-${++groups}`;
  const admin = connection(env["KAFKA_BROKERS"]!).kafka.admin();
  await admin.connect();
  const own = {
    ...env,
    ...settings,
    PROCESSOR_GROUP: group,
    LOG_LEVEL: "warn",
    // On a busy machine the first devices would be offline before the last are worked off.
    DEVICE_OFFLINE_TIMEOUT: "86400",
  };
  const start = (n: number) =>
    startRole(
      "processor",
      { ...own, PROCESSOR_ID: `bench-${n}` },
      {
        node: script === BARE ? node : [...NODE_OPTIONS["processor"]!, ...node],
        ...(script === undefined ? {} : { script }),
      },
    );
  const workers = await Promise.all(
    Array.from({ length: processes }, (_, n) => start(n)),
  );
  const cpuNow = (): Record<Part, number> => ({
    process: workers.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
    redis: cpuSeconds(services.redis.pid!),
    database: cpuSeconds(services.postgres.pid!),
    log: cpuSeconds(services.kafka.pid!),
  });
  try {
    await joined(admin, group, processes);
    const beganMs = performance.now();
    const before = cpuNow();
    await until(async () => (await committed(admin, group)) >= messages, {
      withinMs: 300_000,
      everyMs: 50,
      what: "the backlog to be committed",
    });
    const seconds = (performance.now() - beganMs) / 1000;
    const after = cpuNow();
    const of = (part: Part): number =>
      ((after[part] - before[part]) * 1e6) / messages;
    return {
      messagesPerSecond: messages / seconds,
      cpu: {
        process: of("process"),
        redis: of("redis"),
        database: of("database"),
        log: of("log"),
      },
      peakMib: Math.max(...workers.map(({ pid }) => peakMib(pid))),
      left: await whatIsLeft(env),
    };
  } catch (error) {
    throw new Error(workers.map((worker) => worker.output()).join("\n"), {
      cause: error,
    });
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await admin.disconnect();
  }
}

const digest = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12);

/** Rows and keys as one text, and then they are gone: the next run begins where this one did. */
async function whatIsLeft(
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const db = new pg.Client({ connectionString: env["DATABASE_URL"]! });
  const redis = new Redis(env["REDIS_URL"]!);
  await db.connect();
  try {
    const { rows } = await db.query<Record<string, unknown>>(
      `SELECT count(*), sum(round(value * 100)::bigint), min(time), max(time), count(DISTINCT sensor_id) AS sensors,
              (SELECT count(*) FROM sensors WHERE type_class = 'num') AS known,
              (SELECT count(*) FROM equipments WHERE online) AS devices
       FROM store.telemetry_data`,
    );
    const one = deviceName(0);
    const left = {
      ...rows[0],
      online: await redis.zcard("devices:online"),
      // The processor's own marks are its promises', and none of the contract's.
      keys: (await redis.dbsize()) - (await redis.keys("twinstream:*")).length,
      history: digest(
        await redis.zrange(`device:history:${one}`, "0", "-1", "WITHSCORES"),
      ),
      last: digest(
        await redis.hmget(`device:last_state:${one}`, "payload", "timestamp"),
      ),
    };
    await db.query(
      "TRUNCATE store.telemetry_data; TRUNCATE equipments, stream_offsets CASCADE",
    );
    await redis.flushall();
    return JSON.stringify(left);
  } finally {
    redis.disconnect();
    await db.end();
  }
}

export interface Pair {
  readonly ours: Drained[];
  readonly bare: Drained[];
}

/**
 * Runs in turn and turned about, so that what else the machine does meets both; throws where they leave different things. A
 * run of each before them is not counted: a new broker's JVM spends as much on compiling what it runs as on running it.
 */
export async function inTurn(
  drain: (drainer: Drainer) => Promise<Drained>,
  runs: number,
  own: Drainer,
  say: (line: string) => void,
): Promise<Pair> {
  const pair: Pair = { ours: [], bare: [] };
  for (const drainer of [{ script: BARE }, own]) await drain(drainer);
  for (let run = 0; run < runs; run++) {
    for (const who of run % 2 === 0
      ? (["ours", "bare"] as const)
      : (["bare", "ours"] as const)) {
      const one = await drain(who === "ours" ? own : { script: BARE });
      pair[who].push(one);
      say(
        `${who}: ${Math.round(one.messagesPerSecond)} messages/s, ${one.cpu.process.toFixed(1)} µs of CPU a message`,
      );
    }
    const [ours, bare] = [pair.ours[run]!.left, pair.bare[run]!.left];
    if (ours !== bare)
      throw new Error(`not the same was stored:\n${ours}\n${bare}`);
  }
  return pair;
}
