/** `twinstream log tail`. */
import { setTimeout as pause } from "node:timers/promises";
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { loadConfig } from "../config.js";
import type { LogRecord } from "../domain/message.js";
import { partitionOf } from "../domain/partition.js";
import { TwinstreamError } from "../errors.js";
import type { LogBounds, LogInspector } from "../ports.js";
import { commandLogConnection } from "./kafka-log.js";
import { recordJson, recordText } from "./log-print.js";
import type { TailOptions } from "./log.js";

const USUAL_LIMIT = 10;
const FOLLOW_MS = 250;
/** Records of a partition that are read at a time, backwards, until enough of a key are found. */
const FIRST_WINDOW = 1000;
/** Records of a partition that are held at a time. */
const SLICE = 1000;
/** Thrown to break off a read that has found enough. */
const ENOUGH = Symbol("enough");

export async function tail(options: TailOptions): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLogInspector(commandLogConnection(config, "log"));
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stop.abort());
  // `… | head` closes the pipe: it has what it wanted.
  process.stdout.on("error", () => process.exit(0));
  try {
    await show(log, options, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    await log.close();
  }
}

async function show(
  log: LogInspector,
  options: TailOptions,
  signal: AbortSignal,
): Promise<void> {
  const { topic, from, follow } = options;
  const bounds = await log.bounds(topic);
  const partitions = partitionsOf(options, bounds.length);
  const most =
    options.limit ?? (follow ? Number.POSITIVE_INFINITY : USUAL_LIMIT);
  const print = (record: LogRecord): void =>
    console.log((options.json ? recordJson : recordText)(record));
  const isWanted = wanted(options.key);
  const position = new Map(
    partitions.map((partition) => [partition, bounds[partition]!.high]),
  );
  let printed = 0;

  if (from.at === "newest") {
    const limit = Math.min(most, options.limit ?? USUAL_LIMIT);
    const found = await Promise.all(
      partitions.map((partition) =>
        newest(
          log,
          topic,
          partition,
          bounds[partition]!,
          limit,
          isWanted,
          signal,
        ),
      ),
    );
    const records = found.flat().toSorted(byTime).slice(-limit);
    for (const record of records) print(record);
    printed = follow && options.limit === undefined ? 0 : records.length;
  } else if (from.at !== "latest") {
    const starts =
      from.at === "time" ? await log.offsetsAt(topic, from.ms) : null;
    for (const partition of partitions) {
      const { low } = bounds[partition]!;
      position.set(
        partition,
        from.at === "offset" ? from.offset : (starts?.[partition] ?? low),
      );
    }
  }

  /** A slice of what lies between the positions and the end, by time; whether there is more. */
  async function advance(): Promise<boolean> {
    const ends = await log.bounds(topic);
    const slices = await Promise.all(
      partitions.map(async (partition) => {
        const from = position.get(partition)!;
        const to = ends[partition]!.high;
        const limit = Math.min(most - printed, SLICE);
        const range = { topic, partition, from, to };
        const slice = await first(log, range, limit, isWanted, signal);
        position.set(partition, slice.next);
        return { ...slice, more: slice.next < to };
      }),
    );
    const records = slices.flatMap((slice) => slice.records);
    for (const record of records.toSorted(byTime).slice(0, most - printed)) {
      print(record);
      printed += 1;
    }
    return slices.some(({ more }) => more);
  }
  if (from.at === "newest" && !follow) return;
  for (;;) {
    const more = await advance();
    if (printed >= most) return;
    if (more) continue;
    if (!follow) return;
    await pause(FOLLOW_MS, undefined, { signal });
  }
}

/** @throws NOT_FOUND */
function partitionsOf(
  { topic, partition, key }: TailOptions,
  count: number,
): number[] {
  if (partition !== undefined && partition >= count)
    throw new TwinstreamError(
      "NOT_FOUND",
      `${topic} has no partition ${partition}; it has ${count}`,
    );
  if (partition !== undefined) return [partition];
  if (key !== undefined) return [partitionOf(key, count)];
  return Array.from({ length: count }, (_, p) => p);
}

const wanted =
  (key: string | undefined) =>
  (record: LogRecord): boolean =>
    key === undefined || record.key?.toString() === key;

const byTime = (a: LogRecord, b: LogRecord): number =>
  a.timestampMs - b.timestampMs ||
  a.partition - b.partition ||
  a.offset - b.offset;

/** The last so many of a partition, oldest first; read backwards in growing windows. */
async function newest(
  log: LogInspector,
  topic: string,
  partition: number,
  { low, high }: LogBounds,
  limit: number,
  isWanted: (record: LogRecord) => boolean,
  signal: AbortSignal,
): Promise<LogRecord[]> {
  let found: LogRecord[] = [];
  let to = high;
  for (
    let window = Math.max(limit, FIRST_WINDOW);
    to > low && found.length < limit;
    window *= 2
  ) {
    const from = Math.max(low, to - window);
    const kept: LogRecord[] = [];
    await log.read(
      { topic, partition, from, to },
      async (records) => {
        for (const record of records) if (isWanted(record)) kept.push(record);
        kept.splice(0, kept.length - limit);
      },
      signal,
    );
    found = [...kept, ...found].slice(-limit);
    to = from;
  }
  return found;
}

/** The first so many of a range, and where to go on. */
async function first(
  log: LogInspector,
  range: { topic: string; partition: number; from: number; to: number },
  limit: number,
  isWanted: (record: LogRecord) => boolean,
  signal: AbortSignal,
): Promise<{ records: LogRecord[]; next: number }> {
  const records: LogRecord[] = [];
  let next = range.from;
  if (range.from >= range.to) return { records, next };
  try {
    await log.read(
      range,
      async (batch) => {
        for (const record of batch) {
          next = record.offset + 1;
          if (isWanted(record)) records.push(record);
          if (records.length >= limit) throw ENOUGH;
        }
      },
      signal,
    );
  } catch (error) {
    if (error !== ENOUGH) throw error;
    return { records, next };
  }
  return { records, next: range.to };
}
