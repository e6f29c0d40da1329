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
  "SQL p50": 30,
};
/** Devices whose rows are looked for: the others only make the load. */
const PROBES = 24;
const LOOK_MS = 5;

interface Latencies {
  readonly redis: number[];
  readonly sql: number[];
}

/** Every row of the probes as it becomes visible, until told to stop. */
async function watchRows(
  url: string,
  seen: (tookMs: number) => void,
  stopped: () => boolean,
): Promise<void> {
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  const probes = Array.from({ length: PROBES }, (_, n) => deviceName(n));
  const last = new Map<number, number>();
  try {
    const rows = await until(
      async () => {
        const found = await db.query<{ id: number }>(
          "SELECT s.id FROM sensors s JOIN equipments e ON e.id = s.equipment_id WHERE sensor_uuid = 'point_0' AND equip_uuid = ANY ($1)",
          [probes],
        );
        return found.rowCount === PROBES ? found.rows : null;
      },
      { withinMs: 60_000, everyMs: 100, what: "the probes to be known" },
    );
    const startMs = now();
    for (const { id } of rows) last.set(id, startMs);
    while (!stopped()) {
      const since = new Date(Math.min(...last.values()));
      const found = await db.query<{ sensor_id: number; ms: number }>(
        `SELECT sensor_id, extract(epoch FROM time)::float8 * 1000 AS ms FROM store.telemetry_data
         WHERE sensor_id = ANY ($1) AND time > $2 ORDER BY time`,
        [[...last.keys()], since],
      );
      const at = now();
      for (const { sensor_id: id, ms } of found.rows) {
        if (ms <= last.get(id)!) continue;
        last.set(id, ms);
        seen(at - ms);
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
  // Every device is known and every actor awake before the first is timed.
  await publish(MQTT_URL!, Math.max(rate, 500), 2);
  await sleep(1000);
  const redis = new Redis(REDIS_URL!);
  const latencies: Latencies = { redis: [], sql: [] };
  const from = Date.now();
  redis.on("pmessage", (_pattern: string, _channel: string, text: string) => {
    const ms = Number(text.slice(text.lastIndexOf(":") + 1, -1)) * 1000;
    if (ms >= from) latencies.redis.push(now() - ms);
  });
  await redis.psubscribe("device-updates:*");
  let over = false;
  const rows = watchRows(
    DATABASE_URL!,
    (took) => latencies.sql.push(took),
    () => over,
  );
  const sent = await publish(MQTT_URL!, rate, seconds);
  for (
    let waited = 0;
    latencies.redis.length < sent && waited < 10_000;
    waited += 50
  )
    await sleep(50);
  await sleep(500);
  over = true;
  await rows;
  redis.disconnect();
  if (latencies.redis.length < sent)
    throw new Error(
      `${latencies.redis.length} of ${sent} messages were heard from Redis`,
    );
  return latencies;
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
