/** A history as CSV (RFC 4180: a header line, CRLF, quotes where they are needed), a batch of rows at a time. */
import { toIso } from "../../domain/time.js";
import type { Bucket, Reading, SensorRecord } from "../../ports.js";
import { valueOf } from "./page.js";
import { completenessOf } from "./resolution.js";
import type { Scope } from "./scope.js";

const HEAD = ["equip_uuid", "sensor_uuid", "sensor_tipo", "unit"];
const FIGURES = [
  "bucket",
  "avg_value",
  "max_value",
  "min_value",
  "sample_count",
  "stddev_value",
  "median_value",
  "p95_value",
  "p99_value",
  "completeness",
];

type Cell = string | number | boolean | null;

export const headerLine = (level: Scope["level"]): string =>
  line([...HEAD, ...(level === "raw" ? ["ts", "value"] : FIGURES)]);

/** @param scope whose sensors the rows are of */
export function readingLines(
  { deviceId, sensors }: Scope,
  rows: readonly Reading[],
): string {
  const byId = new Map(sensors.map((sensor) => [sensor.id, sensor]));
  return rows
    .map((row) => {
      const sensor = byId.get(row.sensorId)!;
      const value = valueOf(sensor, row);
      return line([...headOf(deviceId, sensor), toIso(row.timeUs), value]);
    })
    .join("");
}

export function bucketLines(
  { deviceId, sensors, level, rhythms }: Scope,
  rows: readonly Bucket[],
  nowUs: number,
): string {
  if (level === "raw") throw new Error("raw readings are no buckets");
  const byId = new Map(sensors.map((sensor) => [sensor.id, sensor]));
  return rows
    .map((row) =>
      line([
        ...headOf(deviceId, byId.get(row.sensorId)!),
        toIso(row.timeUs),
        row.avg,
        row.max,
        row.min,
        row.count,
        row.stddev,
        row.median,
        row.p95,
        row.p99,
        completenessOf(
          row,
          level,
          rhythms.get(row.sensorId)?.intervalUs ?? null,
          nowUs,
        ),
      ]),
    )
    .join("");
}

const headOf = (deviceId: string, sensor: SensorRecord): Cell[] => [
  deviceId,
  sensor.name,
  sensor.type,
  sensor.unit,
];

const line = (cells: readonly Cell[]): string =>
  `${cells.map(cellOf).join(",")}\r\n`;

/** Nothing stands for null, so an empty text is quoted. */
function cellOf(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell !== "string") return String(cell);
  return cell === "" || /[",\r\n]/.test(cell)
    ? `"${cell.replaceAll('"', '""')}"`
    : cell;
}
