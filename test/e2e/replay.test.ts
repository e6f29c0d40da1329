/**
 * Real series, replayed whole through MQTT: what is in the database equals the files. They lie beside the repository; how
 * many rows and conflicts must come of them is computed from the files themselves.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { whyNoTimescale } from "../support/database.js";
import { withRunning, type Running } from "../support/fleet.js";
import { until } from "../support/wait.js";
import { connectRedis } from "./redis.js";

const test = suite("replay of real series");

const FOLDER = resolve("../shared/data/nab");
const SERIES = [
  {
    device: "machine",
    path: `${FOLDER}/machine_temperature_system_failure.csv`,
    rows: 22_683,
    conflicts: 12,
  },
  {
    device: "office",
    path: `${FOLDER}/ambient_temperature_system_failure.csv`,
    rows: 7267,
    conflicts: 0,
  },
] as const;
const POINT = "temperature";
const UNIT = "°F";
const HOUR_MS = 3_600_000;
/** The raw rows are refreshed into the aggregates every ten seconds. */
const REFRESH_MS = 60_000;

interface Expected {
  /** Value by Unix milliseconds, in the file's order; the first where a time stands twice. */
  readonly values: ReadonlyMap<number, number>;
  /** Lines whose time has another value already. */
  readonly conflicts: readonly { atMs: number; value: number }[];
  readonly last: { readonly atMs: number; readonly value: number };
}

function readExpected(path: string): Expected {
  const values = new Map<number, number>();
  const conflicts: { atMs: number; value: number }[] = [];
  let last = { atMs: 0, value: 0 };
  const [, ...lines] = readFileSync(path, "utf8").trim().split("\n");
  for (const line of lines) {
    const [time = "", number = ""] = line.trim().split(",");
    const atMs = Date.parse(`${time.replace(" ", "T")}Z`);
    const value = Number(number);
    assert.ok(Number.isFinite(atMs) && Number.isFinite(value), line);
    const first = values.get(atMs);
    if (first === undefined) values.set(atMs, value);
    else if (first !== value) conflicts.push({ atMs, value });
    last = { atMs, value };
  }
  return { values, conflicts, last };
}

async function replayIsExact(running: Running): Promise<void> {
  await running.start("bridge");
  await running.start("processor");
  for (const { device, path } of SERIES) {
    const sent = await running.simulate([
      "--replay",
      path,
      "--device",
      device,
      "--point",
      POINT,
      "--unit",
      UNIT,
    ]);
    assert.ok(sent.every(({ outcome }) => outcome === "acked"));
  }
  await running.settled(120_000);
  for (const { device, path, rows, conflicts } of SERIES) {
    const expected = readExpected(path);
    assert.is(expected.values.size, rows, `rows that ${path} makes`);
    assert.is(expected.conflicts.length, conflicts, `conflicts in ${path}`);
    await rowsEqual(running, device, expected);
    await conflictsAreKept(running, device, expected);
    await lastStateEquals(running, device, expected);
  }
  await lateRowsAreRefreshed(running);
  for (const { device, path } of SERIES)
    await hourlyEquals(running, device, readExpected(path));
}

async function rowsEqual(
  { database }: Running,
  device: string,
  { values }: Expected,
): Promise<void> {
  const { rows } = await database.query<{
    at: Date;
    v: number;
    point: string;
    unit: string;
  }>(
    "SELECT ts AS at, v_num AS v, point_id AS point, unit FROM ts_measure WHERE device_id = $1",
    [device],
  );
  assert.is(rows.length, values.size, `rows of ${device}`);
  const seen = new Set<number>();
  for (const { at, v, point, unit } of rows) {
    seen.add(at.getTime());
    // The very double that the file's digits mean.
    assert.is(v, values.get(at.getTime()), `${device} at ${at.toISOString()}`);
    assert.is(point, POINT);
    assert.is(unit, UNIT);
  }
  assert.is(seen.size, values.size, `times of ${device}`);
}

async function conflictsAreKept(
  { database }: Running,
  device: string,
  { conflicts }: Expected,
): Promise<void> {
  const { rows } = await database.query<{
    reason: string;
    item: number;
    payload: string;
  }>(
    "SELECT reason, item, convert_from(payload, 'UTF8') AS payload FROM ingest_errors WHERE device_id = $1",
    [device],
  );
  const kept = rows.map(({ reason, item, payload }) => {
    assert.is(reason, "conflict");
    assert.is(item, 0);
    const { ts, v } = JSON.parse(payload) as { ts: string; v: number };
    return `${new Date(ts).toISOString()} ${v}`;
  });
  assert.equal(
    kept.toSorted(),
    conflicts
      .map(({ atMs, value }) => `${new Date(atMs).toISOString()} ${value}`)
      .toSorted(),
    `conflicts of ${device}`,
  );
}

async function lastStateEquals(
  running: Running,
  device: string,
  { last }: Expected,
): Promise<void> {
  const { payload, timestamp } = await connectRedis(running).hgetall(
    `device:last_state:${device}`,
  );
  assert.is(Number(timestamp), last.atMs / 1000, `last time of ${device}`);
  const { points } = JSON.parse(payload!) as { points: unknown[] };
  assert.equal(points, [{ name: POINT, t: "float", v: last.value, u: UNIT }]);
}

/** As the product does it: rows older than what the policies refresh are noted, and their hours refreshed by and by. */
async function lateRowsAreRefreshed({ database }: Running): Promise<void> {
  const { rows } = await database.query<{ noted: boolean }>(
    "SELECT to_regclass('store.late_buckets') IS NOT NULL AS noted",
  );
  if (!rows[0]!.noted) return;
  await until(
    async () => {
      const left = await database.query("SELECT FROM store.late_buckets");
      return left.rowCount === 0;
    },
    { withinMs: REFRESH_MS, what: "the late hours to be refreshed" },
  );
}

async function hourlyEquals(
  { database }: Running,
  device: string,
  { values }: Expected,
): Promise<void> {
  const hours = new Map<number, number[]>();
  for (const [atMs, value] of values) {
    const hour = Math.floor(atMs / HOUR_MS) * HOUR_MS;
    const inHour = hours.get(hour);
    if (inHour === undefined) hours.set(hour, [value]);
    else inHour.push(value);
  }
  const { rows } = await database.query<{
    bucket: Date;
    mean: number;
    least: number;
    most: number;
    n: number;
  }>(
    `SELECT h.bucket, h.avg_value AS mean, h.min_value AS least, h.max_value AS most, h.sample_count::int AS n
     FROM telemetry_hourly h JOIN equipments e ON e.id = h.equipment_id WHERE e.equip_uuid = $1`,
    [device],
  );
  assert.is(rows.length, hours.size, `hours of ${device}`);
  for (const { bucket, mean, least, most, n } of rows) {
    const own = hours.get(bucket.getTime()) ?? [];
    const where = `${device}, ${bucket.toISOString()}`;
    const expected = own.reduce((sum, value) => sum + value, 0) / own.length;
    assert.is(n, own.length, where);
    assert.ok(Math.abs(mean - expected) <= 1e-9, `${where}: ${mean}`);
    assert.is(least, Math.min(...own), where);
    assert.is(most, Math.max(...own), where);
  }
}

function onEngine(
  name: string,
  extension: "auto" | "never",
  whyNot: string | null,
): void {
  const title = `rows, conflicts, last state and hourly means equal the files, on ${name}`;
  if (whyNot !== null) {
    console.log(`skipped: ${title}: ${whyNot}`);
    test.skip(title);
    return;
  }
  test(title, () =>
    withRunning(
      { RAW_RETENTION_DAYS: "0" },
      async (running) => {
        const { rows } = await running.database.query(
          "SELECT engine FROM store.settings",
        );
        assert.equal(rows, [
          { engine: extension === "never" ? "postgresql" : "timescaledb" },
        ]);
        await replayIsExact(running);
      },
      { extension },
    ),
  );
}

const missing = SERIES.filter(({ path }) => !existsSync(path));
const whyNoData =
  missing.length === 0 ? null : `there is no ${missing[0]!.path}`;
onEngine("TimescaleDB", "auto", whyNoData ?? (await whyNoTimescale()));
onEngine("plain PostgreSQL", "never", whyNoData);

test.run();
