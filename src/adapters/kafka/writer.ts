/**
 * Appends to the log. A writer has one request on the way at a time and takes appends in the order of their calls, so
 * that a retry inside it cannot put a key's records out of order. kafkajs retries; a request whose answer was lost is
 * sent again and may then lie on the log twice, in order.
 */
import {
  type ICustomPartitioner,
  type Message,
  Partitioners,
  type RetryOptions,
} from "kafkajs";
import { partitionOf } from "../../domain/partition.js";
import { TwinstreamError } from "../../errors.js";
import type { LogWriter, OutgoingRecord } from "../../ports.js";
import type { LogConnection } from "./connect.js";
import { brokerErrorOf, unreachable } from "./failure.js";

/**
 * Bounds of a request. A request is one record batch a partition, which a broker takes or refuses whole: below the
 * smallest limit a topic of ours has (1 MiB), only a record that travels alone can be refused for its size.
 */
const REQUEST_BYTES = 900 * 1024;
/** kafkajs groups a request's records by copying a partition's list for each record of it: 2,000 keep that small. */
const REQUEST_RECORDS = 2000;
/** What a record takes beside key, value and headers, at most. */
const RECORD_OVERHEAD = 32;

/** In `cause` of TOO_LARGE: all records before `index` are acknowledged, neither it nor any after it was written. */
export interface RefusedRecord {
  readonly topic: string;
  readonly index: number;
  readonly bytes: number;
}

/** Tries of a request beside those of the connection under it: against a log that is gone, about 8 s in all. */
const RETRY: RetryOptions = {
  initialRetryTime: 100,
  maxRetryTime: 1000,
  retries: 3,
};

export interface LogWriterOptions {
  readonly retry?: RetryOptions;
}

/**
 * `append` throws TwinstreamError LOG_UNREACHABLE when every try failed (the outcome is then unknown: a caller keeps a
 * key's order by repeating it before it appends more), and TOO_LARGE when a record is larger than the topic takes.
 */
export function createLogWriter(
  { kafka }: LogConnection,
  options: LogWriterOptions = {},
): LogWriter & { close(): Promise<void> } {
  const producer = kafka.producer({
    allowAutoTopicCreation: false,
    createPartitioner: byKey,
    maxInFlightRequests: 1,
    retry: options.retry ?? RETRY,
  });
  let connecting: Promise<void> | null = null;
  let last: Promise<unknown> = Promise.resolve();

  function connected(): Promise<void> {
    connecting ??= producer.connect().catch((error: unknown) => {
      connecting = null;
      throw error;
    });
    return connecting;
  }

  async function write(
    topic: string,
    records: readonly OutgoingRecord[],
  ): Promise<void> {
    for (const { from, to } of requests(records)) {
      try {
        await connected();
        await producer.send({
          topic,
          acks: -1,
          messages: records.slice(from, to).map(messageOf),
        });
      } catch (error) {
        const refused = brokerErrorOf(error);
        if (
          refused === "MESSAGE_TOO_LARGE" ||
          refused === "RECORD_LIST_TOO_LARGE"
        )
          throw tooLarge(topic, records, from, to, error);
        throw unreachable(`appending ${to - from} records to ${topic}`, error);
      }
    }
  }

  return {
    append(topic, records) {
      const mine = last.then(() => write(topic, records));
      // The next append waits for this one, whatever became of it; its own caller is told by `mine`.
      last = mine.catch(() => undefined);
      return mine;
    },
    async close() {
      await last;
      if (connecting) await producer.disconnect();
    },
  };
}

/** As kafkajs' default partitioner has it, whose hash of a key is worked out in big integers. */
const byKey: ICustomPartitioner = () => {
  const others = Partitioners.DefaultPartitioner();
  return (asked) => {
    const { key, partition } = asked.message;
    return partition === undefined && typeof key === "string"
      ? partitionOf(key, asked.partitionMetadata.length)
      : others(asked);
  };
};

/** Cuts records into requests, in order; one that is large by itself travels alone. */
function* requests(
  records: readonly OutgoingRecord[],
): Generator<{ from: number; to: number }> {
  let from = 0;
  let bytes = 0;
  for (let i = 0; i < records.length; i++) {
    const size = sizeOf(records[i]!);
    const full = bytes + size > REQUEST_BYTES || i - from >= REQUEST_RECORDS;
    if (i > from && full) {
      yield { from, to: i };
      from = i;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < records.length) yield { from, to: records.length };
}

function sizeOf({ key, value, headers }: OutgoingRecord): number {
  let size = RECORD_OVERHEAD + (value?.length ?? 0);
  if (key !== null) size += Buffer.byteLength(key);
  for (const name in headers)
    size +=
      10 + Buffer.byteLength(name) + Buffer.byteLength(headers[name] ?? "");
  return size;
}

function messageOf(record: OutgoingRecord): Message {
  const message: Message = { key: record.key, value: record.value };
  if (record.headers) message.headers = record.headers;
  if (record.partition !== undefined) message.partition = record.partition;
  return message;
}

function tooLarge(
  topic: string,
  records: readonly OutgoingRecord[],
  from: number,
  to: number,
  cause: unknown,
): TwinstreamError {
  let index = from;
  for (let i = from; i < to; i++)
    if (sizeOf(records[i]!) > sizeOf(records[index]!)) index = i;
  const bytes = sizeOf(records[index]!);
  const refused: RefusedRecord = { topic, index, bytes };
  return new TwinstreamError(
    "TOO_LARGE",
    `record ${index} of ${records.length} (key ${records[index]!.key}, ${bytes} bytes) is larger than ${topic} takes`,
    { cause: Object.assign(refused, { error: cause }) },
  );
}
