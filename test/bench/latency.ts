/**
 * How long a message takes from its publishing by the device to a subscriber in Redis, and to its row in SQL, at several rates.
 * In turn with the bare bridge and pipeline. Times are whole milliseconds of the payload, so that 0.5 ms are added on average.
 *
 *   npm run bench:latency -- --rates 100,1000,5000 --seconds 20 --runs 3
 */
import { Redis } from "ioredis";
import pg from "pg";
import { deviceName } from "./frame/backlog.js";
import { until } from "../support/wait.js";
import { runBench } from "./frame/bench.js";
import { type Live, type Who, onLiveStack } from "./frame/live.js";
import { quantile } from "./frame/measured.js";
import { now, publish, sleep } from "./frame/publish.js";

const QUANTILES = [
  ["p50", 0.5],
  ["p90", 0.9],
  ["p99", 0.99],
  ["p99.9", 0.999],
] as const;
/** Milliseconds, at 1,000 messages/s. */
const GOALS: Readonly<Record<string, number>> = {
  "Redis p50": 15,
  "Redis p99": 100,
  "SQL p50": 300,
  "SQL p99": 1000,
};
/**
 * By the bare pipeline's. Redis hears at once from either; rows wait for the flush interval (250 ms), which the bare one does
 * not have.
 */
const FLOORS: Readonly<Record<string, number>> = {
  "Redis p50": 4,
  "Redis p99": 8,
  "SQL p50": 30,
  "SQL p99": 30,
};
/** Devices whose rows are looked for: the others only make the load. */
const PROBES = 24;
/** Between two looks for rows: as exactly as this is it known when one became visible. */
const LOOK_MS = 5;
/** For all that was published to be told by Redis, and to be stored. */
const SETTLE = { withinMs: 30_000, everyMs: 50 } as const;
const CHANNEL = "device-updates:";

interface Latencies {
  readonly redis: number[];
  readonly sql: number[];
}

/** Time of each device's newest message, Unix milliseconds. */
type Newest = Map<string, number>;

/**
 * Every row of the probes as it becomes visible, until told to stop.
 * @param stored holds each probe from when the database knows them all; 0 before its first row
 */
async function watchRows(
  url: string,
  stored: Newest,
  seen: (ms: number) => void,
  stopped: () => boolean,
): Promise<void> {
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  const probes = Array.from({ length: PROBES }, (_, n) => deviceName(n));
  try {
    const sensors = await until(
      async () => {
        const { rows } = await db.query<{ id: number; device: string }>(
          "SELECT s.id, equip_uuid AS device FROM sensors s JOIN equipments e ON e.id = s.equipment_id WHERE sensor_uuid = 'point_0' AND equip_uuid = ANY ($1)",
          [probes],
        );
        return rows.length === PROBES || stopped() ? rows : null;
      },
      { withinMs: 60_000, everyMs: 100, what: "the probes to be known" },
    );
    const deviceOf = new Map(sensors.map(({ id, device }) => [id, device]));
    for (const device of deviceOf.values()) stored.set(device, 0);
    while (!stopped()) {
      const since = new Date(Math.min(...stored.values()));
      const found = await db.query<{ sensor_id: number; ms: number }>(
        `SELECT sensor_id, round(extract(epoch FROM time) * 1000)::float8 AS ms FROM store.telemetry_data
         WHERE sensor_id = ANY ($1) AND time > $2 ORDER BY time`,
        [[...deviceOf.keys()], since],
      );
      for (const { sensor_id: id, ms } of found.rows) {
        const device = deviceOf.get(id)!;
        if (ms <= stored.get(device)!) continue;
        stored.set(device, ms);
        seen(ms);
      }
      await sleep(LOOK_MS);
    }
  } finally {
    await db.end();
  }
}

async function measure(
  { stack }: Live,
  rate: number,
  seconds: number,
): Promise<Latencies> {
  const { MQTT_URL, REDIS_URL, DATABASE_URL } = stack.env as Record<
    string,
    string
  >;
  const told: Newest = new Map();
  const stored: Newest = new Map();
  let latencies: Latencies = { redis: [], sql: [] };
  let fromMs = 0;
  const redis = new Redis(REDIS_URL!);
  redis.on("pmessage", (_pattern: string, channel: string, text: string) => {
    const at = now();
    const ms = Math.round(
      Number(text.slice(text.lastIndexOf(":") + 1, -1)) * 1000,
    );
    told.set(channel.slice(CHANNEL.length), ms);
    if (ms >= fromMs) latencies.redis.push(at - ms);
  });
  await redis.psubscribe(`${CHANNEL}*`);
  let over = false;
  const rows = watchRows(
    DATABASE_URL!,
    stored,
    (ms) => {
      if (ms >= fromMs) latencies.sql.push(now() - ms);
    },
    () => over,
  );
  const isStored = (): boolean =>
    stored.size === PROBES &&
    [...stored].every(([device, ms]) => ms >= told.get(device)!);

  async function through(each: number, forS: number): Promise<Latencies> {
    latencies = { redis: [], sql: [] };
    fromMs = Date.now();
    const sent = await publish(MQTT_URL!, each, forS);
    await until(() => latencies.redis.length >= sent, {
      ...SETTLE,
      what: `Redis to tell of all ${sent} messages`,
    });
    await until(isStored, { ...SETTLE, what: "the probes' newest rows" });
    return latencies;
  }

  try {
    // Every device is known and every actor awake before the first is timed.
    await through(Math.max(rate, 500), 2);
    return await through(rate, seconds);
  } finally {
    over = true;
    redis.disconnect();
    await rows;
  }
}

await runBench(
  "latency",
  { rates: "100,1000,5000", seconds: "8", runs: "2" },
  async ({ number, numbers, say, figure }) => {
    const all = new Map<string, Latencies[]>();
    for (let run = 0; run < number("runs"); run++)
      for (const who of ["ours", "bare"] as const satisfies readonly Who[])
        await onLiveStack(who, async (live) => {
          for (const rate of numbers("rates")) {
            const one = await measure(live, rate, number("seconds"));
            const key = `${who} ${rate}`;
            all.set(key, [...(all.get(key) ?? []), one]);
            say(
              `${who}, ${rate}/s: Redis p50 ${quantile(one.redis, 0.5).toFixed(1)} ms, SQL p50 ${quantile(one.sql, 0.5).toFixed(1)} ms`,
            );
          }
        });
    for (const rate of numbers("rates"))
      for (const [place, of] of [
        ["Redis", "redis"],
        ["SQL", "sql"],
      ] as const)
        for (const [name, part] of QUANTILES) {
          const told = `${place} ${name}`;
          const runsOf = (who: Who) =>
            all.get(`${who} ${rate}`)!.map((one) => quantile(one[of], part));
          figure({
            of: `${rate.toLocaleString("en")} messages/s`,
            what: `ms, publish → ${place === "SQL" ? "row in SQL" : "Redis subscriber"}, ${name}`,
            less: true,
            runs: runsOf("ours"),
            bare: runsOf("bare"),
            ...(rate === 1000 && GOALS[told] !== undefined
              ? { goal: GOALS[told] }
              : {}),
            ...(FLOORS[told] === undefined ? {} : { floorRatio: FLOORS[told] }),
          });
        }
  },
);
