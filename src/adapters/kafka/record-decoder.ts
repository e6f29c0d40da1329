/**
 * One record of a record batch, as kafkajs' consumer wants it, in place of the decoder that kafkajs has for it: that one makes
 * seven big integers and a copy of all headers so far for each header (2 KB of garbage a record, and with it a third of what
 * the collector had to do when a backlog was drained). The form stands in kafkajs' protocol/recordBatch/record/v0/decoder.js
 * and at https://kafka.apache.org/documentation/#record.
 */
import type { LogHeaders } from "../../domain/message.js";

/** What kafkajs' decoder of the batch hands over: the bytes of this record alone. */
interface RecordBytes {
  readonly buffer: Buffer;
}

/** Of the whole batch; the same object for each of its records. */
interface BatchContext {
  /** Decimal digits. */
  readonly firstOffset: string;
  /** Unix milliseconds as decimal digits, as are all times here. */
  readonly firstTimestamp: string;
  readonly maxTimestamp: string;
  /** 1 where the log's own time of the batch counts, 0 where the producer's. */
  readonly timestampType: number;
  readonly isControlBatch: boolean;
  readonly magicByte: number;
}

/** kafkajs' `KafkaMessage` and more; header values are text, which its types allow and its own decoder never makes. */
interface DecodedRecord {
  readonly magicByte: number;
  readonly attributes: number;
  readonly timestamp: string;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Of a header that is there several times, the last counts, as with other clients. */
  readonly headers: LogHeaders;
  readonly isControlRecord: boolean;
  readonly batchContext: BatchContext;
}

const LOG_APPEND_TIME = 1;
const NO_HEADERS: LogHeaders = Object.freeze({});

/** A decoder of its own: it remembers the numbers of the batch it is in. */
export function createRecordDecoder(): (
  record: RecordBytes,
  batch: BatchContext,
) => DecodedRecord {
  let bytes: Buffer = Buffer.alloc(0);
  let at = 0;
  let context: BatchContext | null = null;
  let firstOffset = 0;
  let firstTimestamp = 0;

  /** A zigzag number of any length that a double holds; what ends too early counts as ending in zeros. */
  function number(): number {
    let low = 0;
    let shift = 0;
    let byte = bytes[at++] ?? 0;
    for (; byte >= 0x80 && shift < 21; shift += 7) {
      low |= (byte & 0x7f) << shift;
      byte = bytes[at++] ?? 0;
    }
    if (byte < 0x80) {
      low |= byte << shift;
      return (low >>> 1) ^ -(low & 1);
    }
    // Beyond 28 bits: times far from the first of their batch.
    let whole = low;
    let scale = 2 ** shift;
    for (; byte >= 0x80; scale *= 0x80) {
      whole += (byte & 0x7f) * scale;
      byte = bytes[at++] ?? 0;
    }
    whole += byte * scale;
    return whole % 2 === 0 ? whole / 2 : -(whole + 1) / 2;
  }

  function piece(): Buffer | null {
    const length = number();
    if (length < 0) return null;
    const start = at;
    at += length;
    return bytes.subarray(start, at);
  }

  function text(): string {
    const length = number();
    if (length <= 0) return "";
    const start = at;
    at += length;
    return bytes.toString("utf8", start, at);
  }

  function headers(): LogHeaders {
    const count = number();
    if (count <= 0) return NO_HEADERS;
    const all: Record<string, string> = {};
    for (let i = 0; i < count && at < bytes.length; i++) all[text()] = text();
    return all;
  }

  return (record, batch) => {
    bytes = record.buffer;
    at = 1;
    if (batch !== context) {
      context = batch;
      firstOffset = Number(batch.firstOffset);
      firstTimestamp = Number(batch.firstTimestamp);
    }
    const timestamp = firstTimestamp + number();
    return {
      magicByte: batch.magicByte,
      attributes: bytes[0] ?? 0,
      timestamp:
        batch.timestampType === LOG_APPEND_TIME
          ? batch.maxTimestamp
          : String(timestamp),
      offset: String(firstOffset + number()),
      key: piece(),
      value: piece(),
      headers: headers(),
      isControlRecord: batch.isControlBatch,
      batchContext: batch,
    };
  };
}
