/**
 * How fast a month of one device is shown by hours: rows loaded by COPY, aggregates refreshed, chunks older than a week in the
 * columnstore as the policies leave them. Against the same eight figures worked out from the raw rows, in the same run.
 * Exits 1 when the aggregates are not FLOOR times as fast; whether the goal in milliseconds is met depends on the machine
 * and on what else it does, and is printed.
 *
 *   npm run bench:history -- --devices 50 --days 30 --questions 200
 */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { from as copyFrom } from "pg-copy-streams";
import { createAnalyticsReader } from "../../src/adapters/timescale/analytics-reader.js";
import { openDatabase, type TestDatabase } from "../support/database.js";
import { withGateway } from "../support/gateway-rig.js";
import { openBench } from "./frame/bench.js";

const bench = openBench("history", {
  devices: "50",
  sensors: "4",
  days: "30",
  questions: "200",
});
const { say } = bench;
const devices = bench.number("devices");
const sensors = bench.number("sensors");
const days = bench.number("days");
const questions = bench.number("questions");

/** Questions to the raw rows, which take long. */
const RAW_QUESTIONS = 20;
const TARGET_P95_MS = 50;
/** The aggregates must be this many times as fast as the raw rows; full size gave 10. */
const FLOOR = 4;
/** A bucket with its ten names, as JSON. */
const LEAST_BUCKET_BYTES = 150;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const nowMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
const startMs = nowMs - days * DAY_MS;

/** Rows of one minute after another, as they come in. */
function* lines(): Generator<string> {
  const ids = Array.from({ length: devices * sensors }, (_, i) => i + 1);
  for (let ms = startMs; ms < nowMs; ms += MINUTE_MS) {
    const at = new Date(ms).toISOString();
    let text = "";
    for (const id of ids)
      text += `${at}\t${id}\t${(20 + Math.sin(ms / 4e6 + id) * 5).toFixed(2)}\n`;
    yield text;
  }
}

async function load({ admin }: TestDatabase): Promise<void> {
  await admin.query(
    `INSERT INTO equipments (id, tenant_id, equip_uuid, log_partition)
     SELECT n, 'default', 'bench-' || n, 0 FROM generate_series(1, $1::int) AS n`,
    [devices],
  );
  await admin.query(
    `INSERT INTO sensors (id, equipment_id, tenant_id, sensor_uuid, sensor_tipo, type_class, unit)
     SELECT (e.id - 1) * $1 + n, e.id, 'default', 'point_' || n, 'float', 'num', '°C'
     FROM equipments e, generate_series(1, $1::int) AS n`,
    [sensors],
  );
  const copy = admin.query(
    copyFrom("COPY store.telemetry_data (time, sensor_id, value) FROM STDIN"),
  );
  await pipeline(Readable.from(lines()), copy);
}

async function settle({ admin }: TestDatabase): Promise<void> {
  for (const aggregate of ["hourly", "daily"])
    await admin.query(
      `CALL refresh_continuous_aggregate('store.telemetry_${aggregate}', NULL, now() - interval '1 hour')`,
    );
  await admin.query(
    "SELECT compress_chunk(c, true) FROM show_chunks('store.telemetry_data', older_than => interval '7 days') AS c",
  );
  await admin.query("VACUUM ANALYZE");
}

/** The figures of the view, from the raw rows that a tenant may read. */
const FROM_RAW = `
  SELECT sensor_id, time_bucket(interval '1 hour', time) AS bucket, avg(value), max(value), min(value), count(*), stddev(value),
         percentile_cont(0.5) WITHIN GROUP (ORDER BY value), percentile_cont(0.95) WITHIN GROUP (ORDER BY value),
         percentile_cont(0.99) WITHIN GROUP (ORDER BY value)
  FROM public.telemetry_data
  WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz
  GROUP BY 1, 2 ORDER BY 1, 2`;

interface Times {
  readonly p50: number;
  readonly p95: number;
  /** Of this process, a question: what is left of a time that a busy machine drew out. */
  readonly cpu: number;
}

/** Milliseconds of each question, of one device after another. */
async function timed(
  count: number,
  ask: (device: number) => Promise<void>,
): Promise<Times> {
  const took: number[] = [];
  let before = process.cpuUsage();
  // The first few fill caches and connect.
  for (let i = -3; i < count; i++) {
    if (i === 0) before = process.cpuUsage();
    const began = performance.now();
    await ask(1 + (((i + 3) * 7) % devices));
    if (i >= 0) took.push(performance.now() - began);
  }
  const { user, system } = process.cpuUsage(before);
  took.sort((a, b) => a - b);
  const at = (part: number) => took[Math.floor(part * (took.length - 1))]!;
  const cpu = (user + system) / 1000 / count;
  return { p50: at(0.5), p95: at(0.95), cpu };
}

const shown = ({ p50, p95, cpu }: Times): string =>
  `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, ${cpu.toFixed(1)} ms of CPU here`;
const sensorIds = (device: number): number[] =>
  Array.from({ length: sensors }, (_, i) => (device - 1) * sensors + i + 1);

/** The body, as it came: what its reader does with it is not the gateway's time. */
async function answerTo(url: string, agent: Agent): Promise<Buffer> {
  const parts: Buffer[] = [];
  const [response] = (await once(
    request(url, { agent }).end(),
    "response",
  )) as [IncomingMessage];
  for await (const part of response) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

const database = await openDatabase({ extension: "auto", rawRetentionDays: 0 });
const reader = createAnalyticsReader({
  url: database.url,
  name: "bench",
  poolMin: 1,
  poolMax: 4,
});
try {
  const { admin } = database;
  say(
    `${devices} devices × ${sensors} sensors × ${days} days at one a minute: ${(devices * sensors * days * 1440).toLocaleString("en")} rows`,
  );
  let began = performance.now();
  const step = (what: string): void => {
    say(`${what}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    began = performance.now();
  };
  await load(database);
  step("COPY");
  await settle(database);
  step("aggregates, columnstore, ANALYZE");

  const range = { fromUs: startMs * 1000, toUs: nowMs * 1000 };
  const byReader = await timed(questions, async (device) => {
    const rows = await reader.buckets(
      {
        tenant: "default",
        sensorIds: sensorIds(device),
        ...range,
        after: null,
      },
      "hour",
      100_000,
    );
    if (rows.length < sensors * days * 24)
      throw new Error(`only ${rows.length} buckets`);
  });
  say(`by hour, the gateway's reader: ${shown(byReader)}`);

  let byHttp: Times = { p50: 0, p95: 0, cpu: 0 };
  let bytes = 0;
  await withGateway(
    async ({ app }) => {
      const base = await app.listen({ host: "127.0.0.1", port: 0 });
      const agent = new Agent({ keepAlive: true });
      byHttp = await timed(questions, async (device) => {
        const body = await answerTo(
          `${base}/analytics/equipment/bench-${device}/history?from=${startMs}&to=${nowMs}`,
          agent,
        );
        const isWhole = body.includes('"resolution":"hour"');
        if (!isWhole || body.length < sensors * days * 24 * LEAST_BUCKET_BYTES)
          throw new Error(body.toString("utf8", 0, 500));
        bytes = body.length;
      });
      agent.destroy();
    },
    { deps: { analytics: reader, clock: Date.now } },
  );
  say(`by hour, over HTTP: ${shown(byHttp)} (${bytes} bytes)`);

  await admin.query("SET ROLE twinstream_reader");
  await admin.query("SET app.tenant_id = 'default'");
  const fromRaw = await timed(RAW_QUESTIONS, async (device) => {
    await admin.query(FROM_RAW, [
      sensorIds(device),
      new Date(startMs),
      new Date(nowMs),
    ]);
  });
  await admin.query("RESET ROLE");
  say(`the same from raw rows: ${shown(fromRaw)}`);

  const of = `${devices} devices × ${sensors} points × ${days} days, a month of one by hours`;
  bench.figure({
    of,
    what: "ms over HTTP, p95",
    less: true,
    goal: TARGET_P95_MS,
    runs: [byHttp.p95],
  });
  bench.figure({
    of,
    what: "ms of the reader, p50, by the same from raw rows",
    less: true,
    floorRatio: 1 / FLOOR,
    runs: [byReader.p50],
    bare: [fromRaw.p50],
  });
  bench.figure({
    of,
    what: "ms of the gateway's CPU a question",
    less: true,
    runs: [byHttp.cpu],
  });
  bench.end();
} finally {
  await reader.close();
  await database.drop();
}
