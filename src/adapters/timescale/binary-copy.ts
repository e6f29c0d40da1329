/**
 * Rows as PostgreSQL's binary COPY format (https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"): purely
 * bytes, no connection. Written by hand because a generic encoder makes 1 M rows/s and this one several, at four columns:
 *
 *   time timestamptz (µs since 2000-01-01), sensor_id int4, value float8 or null, text_value text or null
 */
import type { Row } from "../../domain/device.js";

export const ROW_COLUMNS = "(time, sensor_id, value, text_value)";
export const STAGED_COLUMNS = "(ordinal, time, sensor_id, value, text_value)";

export interface RowEncoder {
  /**
   * The rows as one COPY, in a buffer that the next call overwrites. `staged` puts each row's index before it, as a column
   * `ordinal int4`.
   */
  encode(rows: readonly Row[], staged?: boolean): Buffer;
}

const HEADER = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const TRAILER_BYTES = 2;
const EPOCH_2000_US = 946_684_800_000_000;
const TWO_32 = 4_294_967_296;
/** Field count, then length and content of time, sensor_id and value, then the length of the text. */
const FIXED_BYTES = 2 + (4 + 8) + (4 + 4) + (4 + 8) + 4;
const ORDINAL_BYTES = 4 + 4;
/** UTF-8 needs at most three bytes for a UTF-16 unit. */
const TEXT_BYTES_PER_UNIT = 3;
const FIRST_BYTES = 64 * 1024;
/** A buffer beyond this is not kept for the next call: one large flush is no reason to hold its memory for ever. */
const KEEP_BYTES = 8 * 1024 * 1024;
const NULL = -1;

export function createRowEncoder(): RowEncoder {
  let kept: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);

  return {
    encode(rows, staged = false) {
      const fixed = staged ? FIXED_BYTES + ORDINAL_BYTES : FIXED_BYTES;
      let buffer = kept;
      const atLeast = HEADER.length + rows.length * fixed + TRAILER_BYTES;
      if (buffer.length < atLeast) buffer = grown(buffer, 0, atLeast);
      let view = viewOf(buffer);
      HEADER.copy(buffer);
      let at = HEADER.length;
      /** Bytes that the rows still to come take without their texts. */
      let reserved = rows.length * fixed + TRAILER_BYTES;

      for (let index = 0; index < rows.length; index++) {
        const row = rows[index]!;
        const { text, value } = row;
        if (text !== null) {
          const needed = at + reserved + text.length * TEXT_BYTES_PER_UNIT;
          if (needed > buffer.length) {
            buffer = grown(buffer, at, needed);
            view = viewOf(buffer);
          }
        }
        reserved -= fixed;

        view.setInt16(at, staged ? 5 : 4);
        at += 2;
        if (staged) {
          view.setInt32(at, 4);
          view.setInt32(at + 4, index);
          at += 8;
        }
        const us = row.timeUs - EPOCH_2000_US;
        const high = Math.floor(us / TWO_32);
        view.setInt32(at, 8);
        view.setInt32(at + 4, high);
        view.setUint32(at + 8, us - high * TWO_32);
        view.setInt32(at + 12, 4);
        view.setInt32(at + 16, row.sensor.id);
        at += 20;
        if (value === null) {
          view.setInt32(at, NULL);
          at += 4;
        } else {
          view.setInt32(at, 8);
          view.setFloat64(at + 4, value);
          at += 12;
        }
        if (text === null) {
          view.setInt32(at, NULL);
          at += 4;
        } else {
          const bytes = buffer.write(text, at + 4, "utf8");
          view.setInt32(at, bytes);
          at += 4 + bytes;
        }
      }
      view.setInt16(at, NULL);
      kept =
        buffer.length <= KEEP_BYTES
          ? buffer
          : Buffer.allocUnsafeSlow(FIRST_BYTES);
      return buffer.subarray(0, at + TRAILER_BYTES);
    },
  };
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}

function grown(buffer: Buffer, used: number, atLeast: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(atLeast, buffer.length * 2));
  buffer.copy(larger, 0, 0, used);
  return larger;
}
