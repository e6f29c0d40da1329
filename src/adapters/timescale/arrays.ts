/**
 * Arrays as parameters, in PostgreSQL's binary form (array_recv): the driver sends a buffer as it is, while of an array it
 * writes each element as escaped text.
 */

/** Oids of the element types (pg_type.dat). */
const BOOL = 16;
const INT4 = 23;
const TEXT = 25;
const TIMESTAMPTZ = 1184;
/** Number of dimensions, whether nulls occur, the element type; then, unless empty, the length and the lower bound. */
const HEAD_BYTES = 12;
const DIMENSION_BYTES = 8;
const LENGTH_BYTES = 4;
const NULL = -1;
const EPOCH_2000_US = 946_684_800_000_000;

function arrayOf<T>(
  values: readonly (T | null)[],
  type: number,
  sizeOf: (value: T) => number,
  put: (out: Buffer, value: T, at: number, size: number) => unknown,
): Buffer {
  let size = HEAD_BYTES + (values.length === 0 ? 0 : DIMENSION_BYTES);
  let nulls = 0;
  // By index: for arrays of any kind the engine would make an object for each step of an iteration.
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    size += LENGTH_BYTES;
    if (value === null) nulls = 1;
    else size += sizeOf(value);
  }
  const out = Buffer.allocUnsafe(size);
  out.writeInt32BE(values.length === 0 ? 0 : 1, 0);
  out.writeInt32BE(nulls, 4);
  out.writeInt32BE(type, 8);
  if (values.length === 0) return out;
  out.writeInt32BE(values.length, 12);
  out.writeInt32BE(1, 16);
  let at = HEAD_BYTES + DIMENSION_BYTES;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const bytes = value === null ? NULL : sizeOf(value);
    at = out.writeInt32BE(bytes, at);
    if (value === null) continue;
    put(out, value, at, bytes);
    at += bytes;
  }
  return out;
}

/** text[] */
export const texts = (values: readonly (string | null)[]): Buffer =>
  arrayOf(values, TEXT, Buffer.byteLength, (out, text, at, size) => {
    // As many bytes as characters: ASCII, which this copies fastest.
    out.write(text, at, size === text.length ? "latin1" : "utf8");
  });

/** int4[] */
export const integers = (values: readonly number[]): Buffer =>
  arrayOf(
    values,
    INT4,
    () => 4,
    (out, value, at) => out.writeInt32BE(value, at),
  );

/** boolean[] */
export const booleans = (values: readonly boolean[]): Buffer =>
  arrayOf(
    values,
    BOOL,
    () => 1,
    (out, value, at) => out.writeUInt8(value ? 1 : 0, at),
  );

/** timestamptz[] of microseconds since the Unix epoch. */
export const times = (values: readonly (number | null)[]): Buffer =>
  arrayOf(
    values,
    TIMESTAMPTZ,
    () => 8,
    (out, us, at) => out.writeBigInt64BE(BigInt(us - EPOCH_2000_US), at),
  );
