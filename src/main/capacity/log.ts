/** The log's load and the devices that cost most, by its newest records. */
import { createLogInspector } from "../../adapters/kafka/inspector.js";
import type { Config } from "../../config.js";
import { chooserOf } from "../../domain/adapters/registry.js";
import {
  type Cost,
  createCostBook,
  type DeviceCost,
} from "../../domain/capacity.js";
import { createDecoder, isDeadLetter } from "../../domain/decode.js";
import type { LogRecord } from "../../domain/message.js";
import { TOPIC } from "../../domain/names.js";
import { TwinstreamError } from "../../errors.js";
import type { LogInspector } from "../../ports.js";
import { decodeRules } from "../decode-rules.js";
import { commandLogConnection } from "../kafka-log.js";

export interface LogLoad {
  readonly partitions: number;
  readonly recordsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Of all records, how many lie in the fullest partition: 1 / partitions is even. */
  readonly busiestShare: number;
  readonly windowSeconds: number;
}

export interface DevicesSeen {
  readonly seen: number;
  readonly top: readonly DeviceCost[];
}

/** Of a partition at most, its newest: what a busy log holds of a minute would take longer than that to read. */
const RECORDS = 20_000;
const READ_MS = 60_000;

/**
 * @param windowSeconds of the log that are looked at
 * @param top how many devices are named
 * @throws TwinstreamError where the log cannot be read
 */
export async function lookAtLog(
  config: Config,
  { windowSeconds, top }: { windowSeconds: number; top: number },
): Promise<{ load: LogLoad; devices: DevicesSeen }> {
  const log = createLogInspector(commandLogConnection(config, "capacity"));
  try {
    const fromMs = Date.now() - windowSeconds * 1000;
    const bounds = await log.bounds(TOPIC.data);
    const begins = await log.offsetsAt(TOPIC.data, fromMs);
    const costOf = costReader(config, bounds.length);
    const book = createCostBook();
    const rates: number[] = [];
    let bytesPerSecond = 0;
    for (const [partition, { low, high }] of bounds.entries()) {
      const since = Math.max(low, begins[partition] ?? high);
      const records = { partition, since, high };
      const { costs, firstMs } = await readNewest(log, records, costOf);
      const seconds = Math.max(1, (Date.now() - (firstMs ?? fromMs)) / 1000);
      book.add(costs, seconds);
      rates.push(costs.length / seconds);
      bytesPerSecond +=
        costs.reduce((sum, { bytes }) => sum + bytes, 0) / seconds;
    }
    const total = rates.reduce((sum, rate) => sum + rate, 0);
    const { devices, top: costliest } = book.costliest(top);
    return {
      load: {
        partitions: bounds.length,
        recordsPerSecond: total,
        bytesPerSecond,
        busiestShare: total === 0 ? 0 : Math.max(...rates) / total,
        windowSeconds,
      },
      devices: { seen: devices, top: costliest },
    };
  } catch (error) {
    if (error instanceof TwinstreamError) throw error;
    throw new TwinstreamError(
      "LOG_UNREACHABLE",
      "reading the log's newest records",
      { cause: error },
    );
  } finally {
    await log.close();
  }
}

/** The newest of what a partition holds; `firstMs` is the first one's time where older ones were left out, else null. */
async function readNewest(
  log: Pick<LogInspector, "read">,
  {
    partition,
    since,
    high: to,
  }: { partition: number; since: number; high: number },
  costOf: (record: LogRecord) => Cost,
): Promise<{ costs: Cost[]; firstMs: number | null }> {
  const from = Math.max(since, to - RECORDS);
  const costs: Cost[] = [];
  let firstMs: number | null = null;
  if (from < to)
    await log.read(
      { topic: TOPIC.data, partition, from, to },
      async (records) => {
        if (from > since) firstMs ??= records[0]!.timestampMs;
        for (const record of records) costs.push(costOf(record));
      },
      AbortSignal.timeout(READ_MS),
    );
  return { costs, firstMs };
}

function costReader(
  config: Config,
  partitions: number,
): (record: LogRecord) => Cost {
  const decoder = createDecoder({
    ...decodeRules(config, partitions),
    // Whose they are does not matter for what they cost.
    tenants: { has: () => true } as unknown as ReadonlySet<string>,
    adapterOf: chooserOf(() => new Map()),
  });
  return (record) => {
    const message = decoder.decode(record);
    const isLetter = isDeadLetter(message);
    return {
      address: isLetter
        ? (record.key?.toString() ?? "(no key)")
        : message.address,
      bytes: (record.value?.length ?? 0) + (record.key?.length ?? 0),
      points: !isLetter && message.kind === "data" ? message.points.length : 0,
    };
  };
}
