/** History in memory: what the database would answer, from readings that a test puts there. */
import type { TypeClass } from "../../src/domain/message.js";
import type { TwinstreamError } from "../../src/errors.js";
import type {
  AnalyticsQuestion,
  AnalyticsReader,
  Bucket,
  Reading,
  SensorRecord,
} from "../../src/ports.js";

export interface MemoryAnalytics extends AnalyticsReader {
  fail: TwinstreamError | null;
  /** Names of the calls made. */
  readonly calls: string[];
  /** A device of tenant `default` with these sensors; answers their ids. */
  addDevice(
    deviceId: string,
    sensors: readonly (readonly [name: string, typeClass: TypeClass])[],
    tenant?: string,
  ): number[];
  put(
    sensorId: number,
    rows: readonly (readonly [timeUs: number, value: number | string])[],
  ): void;
  /** Called with each batch of a stream before it is handed over. */
  onBatch: (rows: number) => void;
}

const BUCKET_US = { hour: 3_600_000_000, day: 86_400_000_000 } as const;
/** Small, so that tests see several. */
const BATCH_ROWS = 7;

export function createMemoryAnalytics(): MemoryAnalytics {
  const devices = new Map<string, SensorRecord[]>();
  const readings = new Map<number, Reading[]>();
  let sensorCount = 0;

  const told = (call: string): void => {
    memory.calls.push(call);
    if (memory.fail !== null) throw memory.fail;
  };
  const rowsOf = (question: AnalyticsQuestion): Reading[] =>
    question.sensorIds.flatMap((id) => readings.get(id) ?? []);
  const chosen = <T extends { sensorId: number; timeUs: number }>(
    rows: readonly T[],
    { fromUs, toUs, after }: AnalyticsQuestion,
  ): T[] =>
    rows
      .filter(
        ({ sensorId, timeUs }) =>
          timeUs >= fromUs &&
          timeUs < toUs &&
          (after === null ||
            sensorId > after.sensorId ||
            (sensorId === after.sensorId && timeUs > after.timeUs)),
      )
      .toSorted((a, b) => a.sensorId - b.sensorId || a.timeUs - b.timeUs);
  const bucketsOf = (
    question: AnalyticsQuestion,
    level: "hour" | "day",
  ): Bucket[] => {
    const width = BUCKET_US[level];
    const groups = new Map<string, Reading[]>();
    for (const row of rowsOf(question)) {
      const key = `${row.sensorId} ${Math.floor(row.timeUs / width)}`;
      groups.set(key, [...(groups.get(key) ?? []), row]);
    }
    return chosen(
      [...groups.values()].map((rows) => bucketFrom(rows, width)),
      question,
    );
  };

  const memory: MemoryAnalytics = {
    fail: null,
    calls: [],
    onBatch: () => undefined,
    addDevice(deviceId, sensors, tenant = "default") {
      const made = sensors.map(([name, typeClass]) => ({
        id: ++sensorCount,
        name,
        type: typeClass,
        typeClass,
        unit: typeClass === "num" ? "°C" : null,
      }));
      devices.set(`${tenant}/${deviceId}`, made);
      return made.map(({ id }) => id);
    },
    put(sensorId, rows) {
      const known = readings.get(sensorId) ?? [];
      for (const [timeUs, value] of rows)
        known.push({
          sensorId,
          timeUs,
          value: typeof value === "number" ? value : null,
          text: typeof value === "string" ? value : null,
        });
      readings.set(sensorId, known);
    },
    async equipment(tenant, deviceId, { names, afterId, limit }) {
      told("equipment");
      const sensors = devices.get(`${tenant}/${deviceId}`);
      if (sensors === undefined) return null;
      const shown = sensors
        .filter(({ id }) => id > afterId)
        .filter(({ name }) => names === null || names.includes(name));
      return { name: null, sensors: shown.slice(0, limit) };
    },
    async newestTimes(_tenant, sensorIds, beforeUs, limit) {
      told("newestTimes");
      return new Map(
        sensorIds.map((id) => [
          id,
          (readings.get(id) ?? [])
            .map(({ timeUs }) => timeUs)
            .filter((timeUs) => timeUs < beforeUs)
            .toSorted((a, b) => b - a)
            .slice(0, limit),
        ]),
      );
    },
    async buckets(question, level, limit) {
      told("buckets");
      return bucketsOf(question, level).slice(0, limit);
    },
    async readings(question, limit) {
      told("readings");
      return chosen(rowsOf(question), question).slice(0, limit);
    },
    async streamBuckets(question, level, each) {
      told("streamBuckets");
      await inBatches(bucketsOf(question, level), each);
    },
    async streamReadings(question, each) {
      told("streamReadings");
      await inBatches(chosen(rowsOf(question), question), each);
    },
    async close() {},
  };

  async function inBatches<T>(
    rows: readonly T[],
    each: (batch: readonly T[]) => Promise<void>,
  ): Promise<void> {
    for (let i = 0; i < rows.length; i += BATCH_ROWS) {
      const batch = rows.slice(i, i + BATCH_ROWS);
      memory.onBatch(batch.length);
      await each(batch);
    }
  }
  return memory;
}

/** The figures as a person would work them out. */
function bucketFrom(rows: readonly Reading[], width: number): Bucket {
  const values = rows
    .flatMap(({ value }) => (value === null ? [] : [value]))
    .toSorted((a, b) => a - b);
  const count = values.length;
  const avg = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - avg) ** 2, 0);
  const at = (part: number): number => {
    const place = part * (count - 1);
    const low = values[Math.floor(place)]!;
    return low + (values[Math.ceil(place)]! - low) * (place % 1);
  };
  const known = count > 0;
  return {
    sensorId: rows[0]!.sensorId,
    timeUs: Math.floor(rows[0]!.timeUs / width) * width,
    avg: known ? avg : null,
    max: known ? values.at(-1)! : null,
    min: known ? values[0]! : null,
    count: rows.length,
    stddev: count > 1 ? Math.sqrt(squares / (count - 1)) : null,
    median: known ? at(0.5) : null,
    p95: known ? at(0.95) : null,
    p99: known ? at(0.99) : null,
  };
}
