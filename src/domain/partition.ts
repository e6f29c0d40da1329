/**
 * Which partition a key belongs to: murmur2 as the Kafka clients' default partitioner has it (Utils.java of the Java client),
 * so that every producer of whatever language puts a device into the same one.
 */
const SEED = 0x9747b28c | 0;
const MIX = 0x5bd1e995;

/** 32-bit signed hash of the bytes. */
export function murmur2(key: Uint8Array): number {
  const length = key.length;
  let h = SEED ^ length;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    let k =
      byte(key, i) |
      (byte(key, i + 1) << 8) |
      (byte(key, i + 2) << 16) |
      (byte(key, i + 3) << 24);
    k = Math.imul(k, MIX);
    k ^= k >>> 24;
    h = Math.imul(h, MIX) ^ Math.imul(k, MIX);
  }
  const left = length - i;
  if (left > 0) {
    if (left === 3) h ^= byte(key, i + 2) << 16;
    if (left >= 2) h ^= byte(key, i + 1) << 8;
    h = Math.imul(h ^ byte(key, i), MIX);
  }
  h = Math.imul(h ^ (h >>> 13), MIX);
  return h ^ (h >>> 15);
}

const byte = (key: Uint8Array, at: number): number => key[at] as number;

/** The partition (0 to `partitions` − 1) of a key; a string counts as its UTF-8 bytes. */
export function partitionOf(
  key: Uint8Array | string,
  partitions: number,
): number {
  const bytes = typeof key === "string" ? Buffer.from(key) : key;
  return (murmur2(bytes) & 0x7fffffff) % partitions;
}
