/**
 * One reading's road, for the route and for the command line: its device's partition is read from as long before the reading's
 * time as a clock may be ahead (FUTURE_LIMIT_HOURS, 24 h), since no earlier record can give it, to the end.
 *
 * A busy partition may hold gigabytes of a day, and nearly every reading arrives within moments of its time: the records
 * around that time are looked at first, then those before, then those after.
 */
import { chooserOf } from "../domain/adapters/registry.js";
import { createDecoder, type DecodeRules } from "../domain/decode.js";
import { type Explanation, explanationOf } from "../domain/explanation.js";
import type { LogRecord } from "../domain/message.js";
import { address, TOPIC } from "../domain/names.js";
import { partitionOf } from "../domain/partition.js";
import {
  createReadingSearch,
  type ReadingQuestion,
} from "../domain/reading-search.js";
import { toIso } from "../domain/time.js";
import type { Clock, ExplainReader, LogInspector } from "../ports.js";

export interface ExplainDeps {
  readonly log: Pick<LogInspector, "bounds" | "offsetsAt" | "read">;
  readonly reader: ExplainReader;
  readonly rules: Omit<DecodeRules, "tenants">;
  /** RAW_RETENTION_DAYS; 0 keeps for ever. */
  readonly rawRetentionDays: number;
  readonly clock: Clock;
}

export interface SearchBudget {
  /** Of records' values read from the log. */
  readonly bytes: number;
  /** Ends the search where it stands. */
  readonly signal: AbortSignal;
  /** Called after each batch that was read. */
  readonly progress: (at: SearchedUpTo) => void;
}

export interface SearchedUpTo {
  readonly topic: string;
  readonly partition: number;
  /** Next offset to look at, and where this stretch ends. */
  readonly offset: number;
  readonly to: number;
  /** Bytes read in all. */
  readonly bytes: number;
}

export type ExplainAnswer =
  | { readonly complete: true; readonly explanation: Explanation }
  /** The budget was spent. */
  | { readonly complete: false; readonly upTo: SearchedUpTo };

const DAY_MS = 86_400_000;
/** Around the reading's time: the clocks of devices are off by seconds, deliveries late by minutes. */
const NEAR_BEFORE_MS = 60_000;
const NEAR_AFTER_MS = 10 * 60_000;

/** @throws LOG_UNREACHABLE, STORE_UNREACHABLE */
export async function explainReading(
  question: ReadingQuestion,
  deps: ExplainDeps,
  budget: SearchBudget,
): Promise<ExplainAnswer> {
  const { log, reader, rules } = deps;
  const topic = TOPIC.data;
  const bounds = await log.bounds(topic);
  const device = address(question.tenant, question.deviceId);
  const partition = partitionOf(device, bounds.length);
  const { low, high } = bounds[partition]!;
  const offsetAt = async (ms: number): Promise<number> => {
    const offset = (await log.offsetsAt(topic, Math.max(0, ms)))[partition]!;
    return Math.min(high, Math.max(low, offset));
  };
  const atMs = Math.floor(question.atUs / 1000);
  const firstMs = atMs - Math.ceil(rules.futureUs / 1000);
  const first = await offsetAt(firstMs);
  const nearFrom = Math.max(first, await offsetAt(atMs - NEAR_BEFORE_MS));
  const nearTo = Math.max(nearFrom, await offsetAt(atMs + NEAR_AFTER_MS));

  const adapter = await reader.adapterOf(question.tenant, question.deviceId);
  const registered = new Map(adapter === null ? [] : [[device, adapter]]);
  const { decode } = createDecoder({
    ...rules,
    partitions: bounds.length,
    tenants: new Set([question.tenant]),
    adapterOf: chooserOf(() => registered),
  });
  const search = createReadingSearch(question, decode);
  let bytes = 0;
  for (const [from, to] of [
    [nearFrom, nearTo],
    [first, nearFrom],
    [nearTo, high],
  ] as const) {
    if (search.witness !== null || from >= to) continue;
    let upTo: SearchedUpTo = { topic, partition, offset: from, to, bytes };
    const enough = new AbortController();
    const take = async (records: LogRecord[]): Promise<void> => {
      for (const { value } of records) bytes += value?.length ?? 0;
      if (search.take(records)) enough.abort();
      upTo = { ...upTo, offset: records.at(-1)!.offset + 1, bytes };
      budget.progress(upTo);
      if (bytes >= budget.bytes && upTo.offset < to) enough.abort();
    };
    const signal = AbortSignal.any([budget.signal, enough.signal]);
    try {
      await log.read({ topic, partition, from, to }, take, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      if (search.witness === null) return { complete: false, upTo };
    }
  }

  const { witness, suspects } = search;
  const facts = await reader.reading(question, { topic, partition });
  const places =
    witness === null
      ? suspects.map(({ source }) => source)
      : [witness.message.source];
  const letters =
    places.length === 0 ? [] : await reader.letters(question.tenant, places);
  const days = deps.rawRetentionDays;
  const explanation = explanationOf(
    question,
    search,
    {
      ...facts,
      letters,
      rowsFromUs: days === 0 ? 0 : (deps.clock() - days * DAY_MS) * 1000,
    },
    {
      topic,
      partition,
      from: first,
      to: high,
      records: search.seen,
      log_begins:
        low === 0 || first > low
          ? null
          : await beginning(
              deps,
              { topic, partition, from: low, to: high },
              firstMs,
            ),
    },
  );
  return { complete: true, explanation };
}

/** When the log begins, if that is later than what was asked for. */
async function beginning(
  { log }: ExplainDeps,
  range: { topic: string; partition: number; from: number; to: number },
  wantedMs: number,
): Promise<string | null> {
  const enough = new AbortController();
  let ms: number | null = null;
  try {
    await log.read(
      range,
      async ([record]) => {
        ms = record!.timestampMs;
        enough.abort();
      },
      enough.signal,
    );
  } catch (error) {
    if (!enough.signal.aborted) throw error;
  }
  return ms === null || ms <= wantedMs ? null : toIso(ms * 1000);
}
