/**
 * Decompression of record batches that others wrote, each with a bound on what comes out. kafkajs brings gzip alone, and
 * without a bound; a codec that is missing or throws would end or stall the consumer. So a batch that cannot be decoded
 * becomes placeholders instead: as many records as its head announces, without value, with the reason in a header.
 */
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import kafkajs from "kafkajs";
import { compressFrame, decompressFrame } from "lz4-napi";
import { Decompress as ZstdStream } from "fzstd";
import { compress as snappyCompress, uncompress } from "snappy";
import { reasonOf } from "../../errors.js";

const { CompressionCodecs, CompressionTypes } = kafkajs;

/** Bytes a compressed batch may unfold to: twelve times the largest batch a topic takes. */
const MAX_OUTPUT = 64 * 1024 * 1024;
/** Header that a placeholder carries; its value is the reason. */
export const UNDECODABLE = "undecodable";

type Decompress = (input: Buffer, maxOutput: number) => Promise<Buffer>;
type Compress = (input: Buffer) => Promise<Buffer>;

let registered = false;

/** Gives kafkajs its codecs, once in a process. */
export function registerCodecs(): void {
  if (registered) return;
  registered = true;
  const put = (type: number, decompress: Decompress, compress: Compress) => {
    CompressionCodecs[type as keyof typeof CompressionCodecs] = () => ({
      compress: ({ buffer }: { buffer: Buffer }) => compress(buffer),
      decompress: (input: Buffer) => orPlaceholders(input, decompress),
    });
  };
  put(CompressionTypes.GZIP, gunzip, promisify<Buffer, Buffer>(zlib.gzip));
  put(CompressionTypes.Snappy, unsnappy, (input) => snappyCompress(input));
  put(CompressionTypes.LZ4, unlz4, (input) => compressFrame(input));
  put(CompressionTypes.ZSTD, unzstd, () =>
    Promise.reject(new Error("this adapter reads zstd and does not write it")),
  );
}

async function orPlaceholders(
  input: Buffer,
  decompress: Decompress,
): Promise<Buffer> {
  try {
    return await decompress(input, MAX_OUTPUT);
  } catch (error) {
    return placeholders(input, reasonOf(error));
  }
}

function tooLarge(codec: string, maxOutput: number): Error {
  return new Error(`${codec} batch unfolds to more than ${maxOutput} bytes`);
}

// ---------------------------------------------------------------- gzip

const unzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);

export async function gunzip(
  input: Buffer,
  maxOutput: number,
): Promise<Buffer> {
  return unzip(input, { maxOutputLength: maxOutput });
}

// ---------------------------------------------------------------- snappy

/** Java clients frame their blocks (xerial), librdkafka sends one raw block. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEAD = 16;

export async function unsnappy(
  input: Buffer,
  maxOutput: number,
): Promise<Buffer> {
  const blocks: Buffer[] = [];
  if (input.subarray(0, XERIAL.length).equals(XERIAL))
    for (let at = XERIAL_HEAD; at < input.length;) {
      const length = input.readUInt32BE(at);
      const end = at + 4 + length;
      if (end > input.length) throw new Error("snappy batch is cut off");
      blocks.push(input.subarray(at + 4, end));
      at = end;
    }
  else blocks.push(input);
  // Each block claims its size in front: a block of 6 bytes may claim 4 GB, and uncompress would reserve it.
  let claimed = 0;
  for (const block of blocks) claimed += snappySize(block);
  if (claimed > maxOutput) throw tooLarge("snappy", maxOutput);
  const parts = await Promise.all(
    blocks.map((block) => uncompress(block, { asBuffer: true })),
  );
  return parts.length === 1
    ? Buffer.from(parts[0]!)
    : Buffer.concat(parts.map((part) => Buffer.from(part)));
}

/** The uncompressed size that a raw snappy block begins with, a varint. */
function snappySize(block: Buffer): number {
  let size = 0;
  for (let i = 0; i < 5; i++) {
    const byte = block[i];
    if (byte === undefined) throw new Error("snappy block is cut off");
    size += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return size;
  }
  throw new Error("snappy block has no valid size");
}

// ---------------------------------------------------------------- lz4

const LZ4_MAGIC = 0x184d2204;
const LZ4_BLOCK_BYTES = [0, 0, 0, 0, 65_536, 262_144, 1_048_576, 4_194_304];

export async function unlz4(input: Buffer, maxOutput: number): Promise<Buffer> {
  if (lz4Bound(input) > maxOutput) throw tooLarge("lz4", maxOutput);
  return decompressFrame(input);
}

/** The most that these frames may unfold to: a block grows at most 255-fold, and never beyond the frame's block size. */
function lz4Bound(input: Buffer): number {
  let bound = 0;
  let at = 0;
  while (at + 7 <= input.length) {
    if (input.readUInt32LE(at) !== LZ4_MAGIC)
      throw new Error("lz4 batch does not begin with a frame");
    const flags = input[at + 4]!;
    const blockBytes = LZ4_BLOCK_BYTES[(input[at + 5]! >> 4) & 7]!;
    const blockChecksum = flags & 0x10 ? 4 : 0;
    const contentSize = flags & 0x08 ? 8 : 0;
    const dictionary = flags & 0x01 ? 4 : 0;
    at += 7 + contentSize + dictionary;
    for (;;) {
      if (at + 4 > input.length) throw new Error("lz4 frame is cut off");
      const head = input.readUInt32LE(at);
      at += 4;
      if (head === 0) break;
      const length = head & 0x7fffffff;
      const raw = head >= 0x80000000;
      bound += raw ? length : Math.min(blockBytes, length * 255);
      at += length + blockChecksum;
    }
    if (flags & 0x04) at += 4;
  }
  return bound;
}

// ---------------------------------------------------------------- zstd

type NodeZstd = (
  input: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, output: Buffer) => void,
) => void;
/** Node has zstd from 22.15 on. */
const nodeZstd = (zlib as { zstdDecompress?: NodeZstd }).zstdDecompress;
/** Compressed bytes given to the JavaScript decoder at a time, so that a bomb is noticed before it has unfolded. */
const ZSTD_STEP = 1024;

export async function unzstd(
  input: Buffer,
  maxOutput: number,
): Promise<Buffer> {
  if (nodeZstd)
    return promisify(nodeZstd)(input, { maxOutputLength: maxOutput });
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const stream = new ZstdStream((part) => {
    bytes += part.length;
    if (bytes > maxOutput) throw tooLarge("zstd", maxOutput);
    parts.push(part);
  });
  for (let at = 0; at < input.length; at += ZSTD_STEP)
    stream.push(
      input.subarray(at, at + ZSTD_STEP),
      at + ZSTD_STEP >= input.length,
    );
  return Buffer.concat(parts);
}

// ---------------------------------------------------------------- what cannot be decoded

/**
 * Places in the head of a v2 record batch, counted back from its records (Kafka protocol, "Record Batch"). kafkajs hands
 * the codec a view into the whole response, so the head lies just before it.
 */
const HEAD = { bytes: 61, magic: 45, lastOffsetDelta: 38, count: 4 } as const;
const MAX_PLACEHOLDERS = 100_000;

/** Records with the offsets of those that could not be decoded; throws a plain Error where the head cannot be read. */
function placeholders(compressed: Buffer, reason: string): Buffer {
  const start = compressed.byteOffset - HEAD.bytes;
  const head =
    start < 0 ? null : Buffer.from(compressed.buffer, start, HEAD.bytes);
  const at = (back: number) => HEAD.bytes - back;
  const count =
    head?.[at(HEAD.magic)] === 2 ? head.readInt32BE(at(HEAD.count)) : 0;
  if (!head || count <= 0 || count > MAX_PLACEHOLDERS)
    throw new Error(`a record batch cannot be decoded: ${reason}`);
  const lastDelta = head.readInt32BE(at(HEAD.lastOffsetDelta));
  const name = Buffer.from(UNDECODABLE);
  const value = Buffer.from(reason.slice(0, 200));
  const header = Buffer.concat([
    zigzag(1),
    zigzag(name.length),
    name,
    zigzag(value.length),
    value,
  ]);
  const parts: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const body = Buffer.concat([
      Buffer.from([0, 0]), // attributes, timestamp delta
      zigzag(i === count - 1 ? lastDelta : i),
      zigzag(-1), // no key
      zigzag(-1), // no value
      header,
    ]);
    parts.push(zigzag(body.length), body);
  }
  return Buffer.concat(parts);
}

/** A signed varint of at most 32 bits. */
function zigzag(value: number): Buffer {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  const bytes: number[] = [];
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
