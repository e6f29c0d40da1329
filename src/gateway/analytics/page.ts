/**
 * One page of a history: rows by sensor, then by time, behind a place. What arrives meanwhile moves no place, so that going on
 * from page to page skips nothing that was there and repeats nothing.
 */
import { address } from "../../domain/names.js";
import { toIso } from "../../domain/time.js";
import type {
  AnalyticsQuestion,
  Bucket,
  Reading,
  SensorRecord,
} from "../../ports.js";
import { type HistoryQuestion, type Place, writeCursor } from "./question.js";
import { readRecent } from "./recent.js";
import { BUCKET_US, bucketStart, completenessOf } from "./resolution.js";
import type { AnalyticsDeps, Scope } from "./scope.js";
import { createSeam, type RecentReadings } from "./seam.js";

/** Before every row. */
export const FIRST_US = Date.UTC(1900, 0, 1) * 1000;

/** The answer of `GET /analytics/equipment/:uuid/history`, as the contracts have it. */
export async function readPage(
  deps: AnalyticsDeps,
  question: HistoryQuestion,
  scope: Scope,
  limit: number,
) {
  const rows = await readRows(deps, question, scope, limit + 1);
  const page = rows.slice(0, limit);
  const beyond = rows[limit];
  const next = placeAfter(page.at(-1), beyond, scope.nextSensorId);
  const bySensor = rowsBySensor(page);
  const nowUs = deps.clock() * 1000;
  return {
    equip_uuid: scope.deviceId,
    equip_nome: scope.deviceName,
    resolution: scope.level,
    from: toIso(question.fromUs),
    to: toIso(question.toUs),
    series: scope.sensors
      // Every sensor is on some page, also one without rows.
      .filter(({ id }) => beyond === undefined || id <= lastShown(page, beyond))
      .map((sensor) =>
        seriesOf(scope, sensor, bySensor.get(sensor.id) ?? [], nowUs),
      ),
    left_out: scope.leftOut,
    next: next === null ? null : writeCursor(question, scope.level, next),
  };
}

type Row = Reading | Bucket;

function rowsBySensor(rows: readonly Row[]): ReadonlyMap<number, Row[]> {
  const groups = new Map<number, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.sensorId);
    if (group === undefined) groups.set(row.sensorId, [row]);
    else group.push(row);
  }
  return groups;
}

async function readRows(
  deps: AnalyticsDeps,
  question: HistoryQuestion,
  scope: Scope,
  limit: number,
): Promise<readonly Row[]> {
  const asked = askedOf(question, scope);
  if (scope.level !== "raw")
    return deps.analytics.buckets(asked, scope.level, limit);
  // Redis first or last is the same: what leaves it (by age) has long been stored.
  const recent = await recentFor(deps, question, scope);
  const stored = await deps.analytics.readings(asked, limit);
  const seam = createSeam(asked.sensorIds, recent);
  const rows = seam.take(stored);
  return stored.length < limit ? [...rows, ...seam.rest()] : rows;
}

/** The question to the database. Buckets are whole: the one that `from` falls into is in. */
export const askedOf = (
  { fromUs, toUs, after }: HistoryQuestion,
  { tenant, level, sensors }: Scope,
): AnalyticsQuestion => ({
  tenant,
  sensorIds: sensors.map(({ id }) => id),
  fromUs: level === "raw" ? fromUs : bucketStart(fromUs, level),
  toUs,
  after,
});

/** What Redis has of the range, behind the place that is gone on from. */
export async function recentFor(
  { view, clock, settings }: AnalyticsDeps,
  { fromUs, toUs, after }: HistoryQuestion,
  { tenant, deviceId, sensors }: Scope,
): Promise<RecentReadings> {
  const keptFromUs = clock() * 1000 - settings.historyHours * BUCKET_US.hour;
  if (toUs <= keptFromUs) return new Map();
  const recent = await readRecent(
    view,
    address(tenant, deviceId),
    sensors,
    Math.max(fromUs, keptFromUs),
    toUs,
  );
  if (after === null) return recent;
  return new Map(
    [...recent].map(([id, readings]) => [
      id,
      id === after.sensorId
        ? readings.filter(({ timeUs }) => timeUs > after.timeUs)
        : readings,
    ]),
  );
}

function placeAfter(
  last: Row | undefined,
  beyond: Row | undefined,
  nextSensorId: number | null,
): Place | null {
  if (beyond !== undefined && last?.sensorId === beyond.sensorId)
    return { sensorId: last.sensorId, timeUs: last.timeUs };
  const sensorId = beyond?.sensorId ?? nextSensorId;
  return sensorId === null ? null : { sensorId, timeUs: FIRST_US };
}

/** Id of the last sensor that this page says all of, or goes on with on the next. */
const lastShown = (page: readonly Row[], beyond: Row): number =>
  page.at(-1)?.sensorId === beyond.sensorId
    ? beyond.sensorId
    : beyond.sensorId - 1;

function seriesOf(
  { level, rhythms }: Scope,
  sensor: SensorRecord,
  rows: readonly Row[],
  nowUs: number,
) {
  const head = {
    sensor_uuid: sensor.name,
    sensor_tipo: sensor.type,
    type_class: sensor.typeClass,
    unit: sensor.unit,
  };
  if (level === "raw")
    return {
      ...head,
      readings: (rows as readonly Reading[]).map((row) => ({
        ts: toIso(row.timeUs),
        value: valueOf(sensor, row),
      })),
    };
  const intervalUs = rhythms.get(sensor.id)?.intervalUs ?? null;
  return {
    ...head,
    interval_s: intervalUs === null ? null : intervalUs / 1e6,
    buckets: (rows as readonly Bucket[]).map((row) => ({
      bucket: toIso(row.timeUs),
      avg_value: row.avg,
      max_value: row.max,
      min_value: row.min,
      sample_count: row.count,
      stddev_value: row.stddev,
      median_value: row.median,
      p95_value: row.p95,
      p99_value: row.p99,
      completeness: completenessOf(row, level, intervalUs, nowUs),
    })),
  };
}

/** As the device said it. */
export function valueOf(
  { typeClass }: SensorRecord,
  { value, text }: Reading,
): number | boolean | string | null {
  if (typeClass === "text") return text;
  return typeClass === "bool" && value !== null ? value !== 0 : value;
}
