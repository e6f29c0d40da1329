/**
 * Records and record batches for a produce request, in place of the encoders that kafkajs has for them: those fill five
 * buffers of 512 bytes and more for a record with three headers, each an allocation outside the heap, sum numbers up as big
 * integers, and gather a batch in three buffers that double as they grow. The forms stand in kafkajs' protocol/recordBatch
 * and at https://kafka.apache.org/documentation/#recordbatch.
 */
import type { LogHeaders } from "../../domain/message.js";

/** As kafkajs' producer hands it over, from what writer.ts made of it. */
interface GivenRecord {
  readonly offsetDelta?: number;
  /** Milliseconds. */
  readonly timestampDelta?: number;
  readonly key?: Buffer | string | null;
  readonly value?: Buffer | string | null;
  readonly headers?: LogHeaders;
}

/** What kafkajs copies into the batch: its `Encoder` has these two. */
interface Encoded {
  readonly buf: Buffer;
  readonly buffer: Buffer;
}

/** Whether the log is to find nothing there: an absent key or value is a null one. */
type Part = Buffer | string | null | undefined;

const sizeOf = (part: Part): number => {
  if (part === null || part === undefined) return -1;
  return typeof part === "string" ? Buffer.byteLength(part) : part.length;
};

/** The bytes of a whole number in zigzag form; times may need more than 32 bits. */
function numberBytes(value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1;
  let bytes = 1;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

export function encodeRecord({
  offsetDelta = 0,
  timestampDelta = 0,
  key,
  value,
  headers = {},
}: GivenRecord): Encoded {
  const keyBytes = sizeOf(key);
  const valueBytes = sizeOf(value);
  let count = 0;
  let body =
    1 +
    numberBytes(timestampDelta) +
    numberBytes(offsetDelta) +
    numberBytes(keyBytes) +
    Math.max(0, keyBytes) +
    numberBytes(valueBytes) +
    Math.max(0, valueBytes);
  for (const name in headers) {
    const nameBytes = Buffer.byteLength(name);
    const textBytes = sizeOf(headers[name]);
    body += numberBytes(nameBytes) + nameBytes;
    body += numberBytes(textBytes) + textBytes;
    count++;
  }
  body += numberBytes(count);
  const buffer = Buffer.allocUnsafe(numberBytes(body) + body);
  let at = 0;

  function number(whole: number): void {
    let rest = whole >= 0 ? whole * 2 : -whole * 2 - 1;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80))
      buffer[at++] = (rest % 0x80) + 0x80;
    buffer[at++] = rest;
  }
  function part(of: Part, bytes: number): void {
    number(bytes);
    if (typeof of === "string") buffer.write(of, at);
    else of?.copy(buffer, at);
    at += Math.max(0, bytes);
  }

  number(body);
  buffer[at++] = 0;
  number(timestampDelta);
  number(offsetDelta);
  part(key, keyBytes);
  part(value, valueBytes);
  number(count);
  for (const name in headers) {
    part(name, Buffer.byteLength(name));
    part(headers[name], sizeOf(headers[name]));
  }
  return { buf: buffer, buffer };
}

/** As kafkajs' producer asks for it. */
interface GivenBatch {
  readonly records: readonly Encoded[];
  /** A codec's number; 0 for none. */
  readonly compression?: number;
  /** Unix milliseconds. */
  readonly firstTimestamp: number | string;
  readonly maxTimestamp: number | string;
  readonly lastOffsetDelta: number;
  readonly transactional?: boolean;
  /** Prints as the number it is. */
  readonly producerId: { toString(): string };
  readonly producerEpoch: number;
  readonly firstSequence: number;
}
export type EncodeBatch = (
  batch: GivenBatch,
) => Promise<Encoded & { size(): number }>;

/** First offset, length, leader epoch, format and checksum; the checksum covers what follows. */
const LENGTH_ENDS = 8 + 4;
const CHECKED_FROM = LENGTH_ENDS + 4 + 1 + 4;
const FIXED_BYTES = CHECKED_FROM + 2 + 4 + 8 + 8 + 8 + 2 + 4 + 4;
const FORMAT = 2;

/** @param others how batches are encoded that are to be compressed or belong to a transaction: none of ours. */
export function batchEncoder(
  checksum: (bytes: Buffer) => number,
  others: EncodeBatch,
): EncodeBatch {
  return async (batch) => {
    const { records, compression = 0, transactional = false } = batch;
    if (compression !== 0 || transactional) return others(batch);
    let size = FIXED_BYTES;
    for (const { buffer } of records) size += buffer.length;
    const whole = Buffer.allocUnsafe(size);
    whole.writeBigInt64BE(0n, 0);
    whole.writeInt32BE(size - LENGTH_ENDS, 8);
    whole.writeInt32BE(0, 12);
    whole.writeInt8(FORMAT, 16);
    let at = whole.writeInt16BE(0, CHECKED_FROM);
    at = whole.writeInt32BE(batch.lastOffsetDelta, at);
    at = whole.writeBigInt64BE(BigInt(batch.firstTimestamp), at);
    at = whole.writeBigInt64BE(BigInt(batch.maxTimestamp), at);
    at = whole.writeBigInt64BE(BigInt(batch.producerId.toString()), at);
    at = whole.writeInt16BE(batch.producerEpoch, at);
    at = whole.writeInt32BE(batch.firstSequence, at);
    at = whole.writeInt32BE(records.length, at);
    for (const { buffer } of records) at += buffer.copy(whole, at);
    whole.writeUInt32BE(checksum(whole.subarray(CHECKED_FROM)), 17);
    return { buf: whole, buffer: whole, size: () => size };
  };
}
