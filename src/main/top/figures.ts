/** What two looks say of the time between them: what is shown, and what --json prints. Pure. */
import type { DeviceLook, Look, ProcessLook } from "./look.js";
import { quantileOf, riseOf, type Scrape, sumOf } from "../scrape.js";

export interface Figures {
  readonly at: string;
  readonly seconds: number;
  /** A second. */
  readonly rates: Readonly<
    Record<
      | "in"
      | "stored"
      | "points"
      | "duplicates"
      | "dead_letters"
      | "commands"
      | "live_frames"
      | "live_conflated",
      number
    >
  >;
  /** From arrival to stored, milliseconds; null while nothing is stored. */
  readonly latency_ms: {
    readonly p50: number | null;
    readonly p99: number | null;
  };
  readonly lag: number;
  readonly actors: number;
  readonly actor_restarts: number;
  readonly devices_online: number;
  readonly live_clients: number;
  readonly queue: number;
  readonly partitions: readonly {
    readonly group: string;
    readonly partition: string;
    readonly lag: number;
    readonly in_per_s: number;
    readonly stored_per_s: number;
    readonly member: string | null;
  }[];
  readonly stores: readonly {
    readonly store: string;
    readonly ping_ms: number | null;
    readonly write_p50_ms: number | null;
    readonly write_p99_ms: number | null;
    readonly trouble: string | null;
  }[];
  readonly processes: readonly {
    readonly name: string;
    readonly url: string;
    readonly resident_mib: number;
    readonly heap_mib: number;
    /** Of one core. */
    readonly cpu_percent: number;
    readonly loop_p99_ms: number;
    readonly trouble: string | null;
  }[];
  readonly busiest: readonly {
    readonly device: string;
    readonly messages_per_s: number;
    readonly bytes_per_s: number;
  }[];
  /** Whose readings take longest to arrive. */
  readonly slowest: readonly {
    readonly device: string;
    readonly delay_ms: number;
  }[];
}

const MOST_DEVICES = 10;
const MIB = 1024 * 1024;

export function figuresOf(before: Look, after: Look): Figures {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1000);
  const scrapes = after.processes.map(({ url, scrape }): [Scrape, Scrape] => [
    before.processes.find((one) => one.url === url)?.scrape ?? [],
    scrape,
  ]);
  const rate = (name: string, labels = {}): number =>
    scrapes.reduce(
      (sum, [then, now]) =>
        // A process that was not there says nothing of this time.
        then.length === 0 ? sum : sum + riseOf(then, now, name, labels),
      0,
    ) / seconds;
  const now = scrapes.flatMap(([, scrape]) => scrape);
  const then = scrapes.flatMap(([scrape]) => scrape);
  const partitions = partitionsOf(before, after, seconds);
  const ms = (name: string, quantile: number, labels = {}): number | null => {
    const found = quantileOf(then, now, name, quantile, labels);
    return found === null ? null : found * 1000;
  };
  return {
    at: new Date(after.atMs).toISOString(),
    seconds,
    rates: {
      in: after.records / seconds,
      stored: partitions.reduce((sum, one) => sum + one.stored_per_s, 0),
      points: rate("ingest_points_total"),
      duplicates: rate("ingest_duplicates_total"),
      dead_letters: rate("ingest_errors_total"),
      commands: rate("commands_total"),
      live_frames: rate("live_frames_total"),
      live_conflated: rate("live_conflated_total"),
    },
    latency_ms: {
      p50: ms("ingest_latency_seconds", 0.5),
      p99: ms("ingest_latency_seconds", 0.99),
    },
    lag: partitions.reduce((sum, { lag }) => sum + lag, 0),
    actors: sumOf(now, "actors_alive"),
    actor_restarts: sumOf(now, "actor_restarts_total"),
    devices_online: sumOf(now, "devices_online"),
    live_clients: sumOf(now, "live_clients"),
    queue: sumOf(now, "ingest_queue_size"),
    partitions,
    stores: after.stores.map(({ store, pingMs, trouble }) => ({
      store,
      ping_ms: pingMs,
      write_p50_ms:
        store === "log"
          ? ms("bridge_append_seconds", 0.5)
          : ms("flush_seconds", 0.5, { store }),
      write_p99_ms:
        store === "log"
          ? ms("bridge_append_seconds", 0.99)
          : ms("flush_seconds", 0.99, { store }),
      trouble,
    })),
    processes: after.processes.map((one, i) =>
      processOf(one, scrapes[i]![0], seconds),
    ),
    ...devicesOf(after, seconds),
  };
}

function partitionsOf(
  before: Look,
  after: Look,
  seconds: number,
): Figures["partitions"] {
  const committed = new Map<string, (typeof before.groups)[0]["partitions"][0]>(
    before.groups.flatMap(({ group, partitions }) =>
      partitions.map(
        (one) => [`${group} ${one.topic}/${one.partition}`, one] as const,
      ),
    ),
  );
  return after.groups
    .flatMap(({ group, partitions }) =>
      partitions.map((one) => {
        const partition = `${one.topic}/${one.partition}`;
        const old = committed.get(`${group} ${partition}`) ?? one;
        const rise = (from: number | null, to: number | null): number =>
          Math.max(0, (to ?? 0) - (from ?? to ?? 0)) / seconds;
        return {
          group,
          partition,
          lag: one.lag,
          in_per_s: rise(old.high, one.high),
          stored_per_s: rise(old.committed, one.committed),
          member: one.client,
        };
      }),
    )
    .toSorted((a, b) => b.lag - a.lag || b.in_per_s - a.in_per_s);
}

function processOf(
  { name, url, scrape, trouble }: ProcessLook,
  before: Scrape,
  seconds: number,
): Figures["processes"][number] {
  const cpu = riseOf(before, scrape, "process_cpu_seconds_total");
  return {
    name,
    url,
    resident_mib: sumOf(scrape, "process_resident_memory_bytes") / MIB,
    heap_mib: sumOf(scrape, "nodejs_heap_size_used_bytes") / MIB,
    cpu_percent: before.length === 0 ? 0 : (cpu / seconds) * 100,
    loop_p99_ms: sumOf(scrape, "nodejs_eventloop_lag_p99_seconds") * 1000,
    trouble,
  };
}

function devicesOf(
  { devices, records, sampled }: Look,
  seconds: number,
): Pick<Figures, "busiest" | "slowest"> {
  // What was left out of the sample is taken to be like what is in it.
  const times = sampled === 0 ? 0 : records / sampled / seconds;
  return {
    busiest: devices
      .toSorted((a, b) => b.messages - a.messages || b.bytes - a.bytes)
      .slice(0, MOST_DEVICES)
      .map(({ address, messages, bytes }) => ({
        device: address,
        messages_per_s: messages * times,
        bytes_per_s: bytes * times,
      })),
    slowest: devices
      .filter(
        (one): one is DeviceLook & { delayMs: number } => one.delayMs !== null,
      )
      .toSorted((a, b) => b.delayMs - a.delayMs)
      .slice(0, MOST_DEVICES)
      .map(({ address, delayMs }) => ({ device: address, delay_ms: delayMs })),
  };
}
