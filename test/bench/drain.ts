/**
 * How fast a processor works off a backlog: messages waiting on the log → rows committed, Redis written, offsets committed. In
 * turn with the bare pipeline over the same messages; after each run both must have left the same rows and keys.
 *
 *   npm run bench:drain
 *   npm run bench:drain -- --devices 1000 --points 4 --messages 300000 --runs 5
 *   npm run bench:drain -- --devices 1000 --points 4 --runs 1 --node --cpu-prof       options of Node for the processor
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import pg from "pg";
import { runCommand, startRole } from "../support/roles.js";
import { withOwnStack, type Stack } from "../support/services.js";
import { until } from "../support/wait.js";
import {
  committed,
  connection,
  deviceName,
  fill,
  joined,
  type Backlog,
} from "./frame/backlog.js";
import { runBench } from "./frame/bench.js";
import { cpuSeconds, peakMib } from "./frame/processes.js";

/** By devices, at 4 points a message; the goals are of the reference machine. */
const GOALS: Readonly<
  Record<number, { ratio: number; floor: number; messages?: number }>
> = {
  1000: { ratio: 0.9, floor: 0.75, messages: 50_000 },
  100_000: { ratio: 0.85, floor: 0.7 },
};
/** Points of a backlog: messages of 20 points are five times as many. */
const MOST_POINTS = 1_200_000;
const BARE = fileURLToPath(new URL("bare-pipeline.js", import.meta.url));

interface Drained {
  readonly messagesPerSecond: number;
  /** Microseconds a message. */
  readonly cpu: Readonly<
    Record<"process" | "log" | "redis" | "database", number>
  >;
  readonly peak: number;
  /** Equal when the same was stored. */
  readonly left: string;
}

let runs = 0;

async function drain(
  stack: Stack,
  backlog: Backlog,
  script: string | undefined,
  node: readonly string[],
): Promise<Drained> {
  const group = `bench-${++runs}`;
  const admin = connection(stack.env["KAFKA_BROKERS"]!).kafka.admin();
  const pids = {
    log: stack.services.kafka.pid!,
    redis: stack.services.redis.pid!,
    database: stack.services.postgres.pid!,
  };
  await admin.connect();
  const worker = await startRole(
    "processor",
    {
      ...stack.env,
      PROCESSOR_GROUP: group,
      LOG_LEVEL: "warn",
      // On a busy machine the first devices would be offline before the last are worked off.
      DEVICE_OFFLINE_TIMEOUT: "86400",
    },
    { node, ...(script === undefined ? {} : { script }) },
  );
  const cpuNow = () => ({
    process: cpuSeconds(worker.pid),
    log: cpuSeconds(pids.log),
    redis: cpuSeconds(pids.redis),
    database: cpuSeconds(pids.database),
  });
  try {
    await joined(admin, group);
    const beganMs = performance.now();
    const before = cpuNow();
    await until(
      async () => (await committed(admin, group)) >= backlog.messages,
      { withinMs: 300_000, everyMs: 50, what: "the backlog to be committed" },
    );
    const seconds = (performance.now() - beganMs) / 1000;
    const after = cpuNow();
    const cpuOf = (part: keyof typeof after) =>
      ((after[part] - before[part]) * 1e6) / backlog.messages;
    return {
      messagesPerSecond: backlog.messages / seconds,
      cpu: {
        process: cpuOf("process"),
        log: cpuOf("log"),
        redis: cpuOf("redis"),
        database: cpuOf("database"),
      },
      peak: peakMib(worker.pid),
      left: await whatIsLeft(stack.env),
    };
  } catch (error) {
    throw new Error(worker.output(), { cause: error });
  } finally {
    await worker.stop();
    await admin.disconnect();
  }
}

const digest = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12);

/** Rows and keys as one text, and they are gone: the next run begins where this one did. */
async function whatIsLeft(env: Stack["env"]): Promise<string> {
  const db = new pg.Client({ connectionString: env["DATABASE_URL"]! });
  const redis = new Redis(env["REDIS_URL"]!);
  await db.connect();
  try {
    const { rows } = await db.query<Record<string, unknown>>(
      `SELECT count(*), sum(round(value * 100)::bigint), min(time), max(time), count(DISTINCT sensor_id) AS sensors,
              (SELECT count(*) FROM sensors WHERE type_class = 'num') AS known, (SELECT count(*) FROM equipments WHERE online) AS devices
       FROM store.telemetry_data`,
    );
    const one = deviceName(0);
    const keys = {
      history: await redis.zrange(
        `device:history:${one}`,
        "0",
        "-1",
        "WITHSCORES",
      ),
      last: await redis.hmget(
        `device:last_state:${one}`,
        "payload",
        "timestamp",
      ),
      online: await redis.zcard("devices:online"),
      // The processor's own marks are its promises', and none of the contract's.
      devices:
        (await redis.dbsize()) - (await redis.keys("twinstream:*")).length,
    };
    await db.query(
      "TRUNCATE store.telemetry_data; TRUNCATE equipments, stream_offsets CASCADE",
    );
    await redis.flushall();
    const { history, last, ...counts } = keys;
    return JSON.stringify({
      ...rows[0],
      ...counts,
      history: digest(history),
      last: digest(last),
    });
  } finally {
    redis.disconnect();
    await db.end();
  }
}

await runBench(
  "drain",
  {
    devices: "1000,10000,100000",
    points: "1,4,20",
    messages: "300000",
    runs: "3",
    node: "",
  },
  async ({ settings, number, numbers, say, figure }) => {
    for (const devices of numbers("devices"))
      for (const points of numbers("points"))
        await withOwnStack(
          ["kafka", "redis", "postgres", "mqtt"],
          async (stack) => {
            const backlog = {
              devices,
              points,
              messages: Math.min(
                number("messages"),
                Math.max(devices, Math.floor(MOST_POINTS / points)),
              ),
            };
            const migrated = await runCommand(["migrate"], stack.env);
            if (migrated.code !== 0) throw new Error(migrated.output);
            await quiet(stack.env["DATABASE_URL"]!);
            const of = `${devices.toLocaleString("en")} devices × ${points} points`;
            say(
              `${of}: filling the log with ${backlog.messages.toLocaleString("en")} messages`,
            );
            const bytes = await fill(stack.env["KAFKA_BROKERS"]!, backlog);
            const ours: Drained[] = [];
            const bare: Drained[] = [];
            const node = settings.node === "" ? [] : settings.node.split(" ");
            for (let run = 0; run < number("runs"); run++) {
              // In turn, and turned about: what else the machine does meets both.
              const pair =
                run % 2 === 0 ? [undefined, BARE] : [BARE, undefined];
              for (const script of pair) {
                const one = await drain(
                  stack,
                  backlog,
                  script,
                  script === undefined ? node : [],
                );
                (script === undefined ? ours : bare).push(one);
                say(
                  `${script === undefined ? "ours" : "bare"} ${Math.round(one.messagesPerSecond)} messages/s, ${one.cpu.process.toFixed(1)} µs of CPU a message`,
                );
              }
              if (ours.at(-1)!.left !== bare.at(-1)!.left)
                throw new Error(
                  `not the same was stored:\n${ours.at(-1)!.left}\n${bare.at(-1)!.left}`,
                );
            }
            const goal = points === 4 ? GOALS[devices] : undefined;
            figure({
              of,
              what: "messages/s",
              less: false,
              runs: ours.map((run) => run.messagesPerSecond),
              bare: bare.map((run) => run.messagesPerSecond),
              floorRatio: goal?.floor ?? 0.6,
              ...(goal === undefined ? {} : { goalRatio: goal.ratio }),
              ...(goal?.messages === undefined ? {} : { goal: goal.messages }),
            });
            figure({
              of,
              what: "points/s",
              less: false,
              runs: ours.map((run) => run.messagesPerSecond * points),
            });
            for (const part of ["process", "redis", "database", "log"] as const)
              figure({
                of,
                what: `µs of CPU a message (${part})`,
                less: true,
                runs: ours.map((run) => run.cpu[part]),
                bare: bare.map((run) => run.cpu[part]),
              });
            figure({
              of,
              what: "MiB at most",
              less: true,
              runs: ours.map(({ peak }) => peak),
              bare: bare.map(({ peak }) => peak),
            });
            figure({
              of,
              what: "bytes a record",
              less: true,
              runs: [bytes / backlog.messages],
            });
          },
        );
  },
);

/** No background job of the database's in the midst of a run. */
async function quiet(url: string): Promise<void> {
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  await db.query(
    "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000",
  );
  await db.end();
}
