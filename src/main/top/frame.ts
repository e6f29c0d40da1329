/** The figures as lines of a terminal: what hurts comes first, and what does not fit is said to be left out. Pure. */
import { tableLines } from "../table.js";
import type { Figures } from "./figures.js";

export interface FrameSize {
  readonly columns: number;
  /** 0: as many as there are. */
  readonly rows: number;
}

/** Lines that each list has at least, where the screen is small. */
const LEAST = 3;

export function frameOf(figures: Figures, size: FrameSize): string[] {
  const { rates, latency_ms: latency } = figures;
  const head = [
    `in ${n(rates.in)}/s   stored ${n(rates.stored)}/s   points ${n(rates.points)}/s   duplicates ${n(rates.duplicates)}/s   dead letters ${n(rates.dead_letters)}/s`,
    `arrival to stored p50 ${ms(latency.p50)}, p99 ${ms(latency.p99)}   lag ${n(figures.lag)}   held ${n(figures.queue)}`,
    `devices online ${n(figures.devices_online)}   actors ${n(figures.actors)}, restarted ${n(figures.actor_restarts)}   commands ${n(rates.commands)}/s   live streams ${n(figures.live_clients)}, ${n(rates.live_frames)} events/s, ${n(rates.live_conflated)}/s left out`,
    "",
  ];
  const stores = tableLines([
    ["STORE", "ANSWERS", "WRITES p50", "p99", ""],
    ...figures.stores.map((one) => [
      one.store,
      one.ping_ms === null ? "AWAY" : ms(one.ping_ms),
      ms(one.write_p50_ms),
      ms(one.write_p99_ms),
      one.trouble ?? "",
    ]),
  ]);
  const processes = tableLines([
    ["PROCESS", "RESIDENT", "HEAP", "CPU", "LOOP p99", ""],
    ...figures.processes.map((one) => [
      one.name,
      `${n(one.resident_mib)} MiB`,
      `${n(one.heap_mib)} MiB`,
      `${n(one.cpu_percent)} %`,
      ms(one.loop_p99_ms),
      one.trouble ?? "",
    ]),
  ]);
  const partitions = tableLines([
    ["PARTITION", "LAG", "IN/S", "STORED/S", "MEMBER"],
    ...figures.partitions.map((one) => [
      one.partition,
      n(one.lag),
      n(one.in_per_s),
      n(one.stored_per_s),
      one.member ?? "nobody",
    ]),
  ]);
  const devices = tableLines([
    ["BUSIEST", "MESSAGES/S", "KB/S", "  SLOWEST TO ARRIVE", "AFTER"],
    ...Array.from(
      { length: Math.max(figures.busiest.length, figures.slowest.length) },
      (_, i) => {
        const busy = figures.busiest[i];
        const slow = figures.slowest[i];
        return [
          busy?.device ?? "",
          busy === undefined ? "" : n(busy.messages_per_s),
          busy === undefined ? "" : n(busy.bytes_per_s / 1000),
          slow === undefined ? "" : `  ${slow.device}`,
          slow === undefined ? "" : ms(slow.delay_ms),
        ];
      },
    ),
  ]);
  const fixed = [...head, ...stores, "", ...processes, ""];
  const room =
    size.rows === 0 ? Number.POSITIVE_INFINITY : size.rows - fixed.length - 1;
  const forDevices = Math.min(devices.length, Math.max(LEAST, room / 2));
  const lines = [
    ...fixed,
    ...cut(partitions, Math.max(LEAST, room - Math.ceil(forDevices))),
    "",
    ...cut(devices, Math.max(LEAST, Math.floor(forDevices))),
  ];
  return lines
    .slice(0, size.rows === 0 ? lines.length : size.rows)
    .map((line) => line.slice(0, size.columns).trimEnd());
}

function cut(lines: readonly string[], most: number): string[] {
  if (lines.length <= most) return [...lines];
  return [
    ...lines.slice(0, most - 1),
    `… ${lines.length - most + 1} more (--json has all)`,
  ];
}

/** Short: three figures where it is small, whole with commas where it is not. */
const n = (value: number): string =>
  value < 10 && !Number.isInteger(value)
    ? value.toFixed(1)
    : Math.round(value).toLocaleString("en");

function ms(value: number | null): string {
  if (value === null) return "–";
  if (!Number.isFinite(value)) return "more";
  const size = Math.abs(value);
  if (size < 1000) return `${n(value)} ms`;
  if (size < 120_000) return `${n(value / 1000)} s`;
  return size < 7_200_000
    ? `${n(value / 60_000)} min`
    : `${n(value / 3_600_000)} h`;
}
