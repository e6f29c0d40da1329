/**
 * What an upload's text is held against while it passes: its size, that it is an array from its first byte to its last, and
 * when it is small enough, all of it. Bytes come uncompressed; nothing beyond the first MiB is kept.
 */
import { isUtf8 } from "node:buffer";
import { type BulkRules, readEquipment } from "../../domain/bulk.js";
import { reasonOf } from "../../errors.js";
import { type FieldError, refusal } from "../problems.js";

/** Uncompressed bytes up to which an upload is read in full before it is taken. */
const SMALL_BYTES = 1024 * 1024;
/** Faults that an answer names. */
const MOST_FAULTS = 20;

export interface Content {
  /** @throws BAD_REQUEST, TOO_LARGE */
  take(chunk: Buffer): void;
  /** @throws BAD_REQUEST */
  end(): void;
  /** Bytes taken so far. */
  readonly bytes: number;
}

/** @param rules null where the readings need not be looked at. */
export function createContent(
  maxBytes: number,
  rules: BulkRules | null,
): Content {
  let bytes = 0;
  let last = SPACE;
  let begun = false;
  /** The text so far, while it is small. */
  let head: Buffer[] = [];
  return {
    get bytes() {
      return bytes;
    },
    take(chunk) {
      bytes += chunk.length;
      if (bytes > maxBytes)
        throw refusal(
          "TOO_LARGE",
          `the upload is larger than ${maxBytes} bytes uncompressed; send it in parts`,
        );
      if (!begun) begun = beginsWell(chunk);
      last = lastByte(chunk) ?? last;
      if (bytes <= SMALL_BYTES) head.push(chunk);
      else head = [];
    },
    end() {
      if (!begun) throw malformed("the body is empty");
      if (last !== CLOSE_ARRAY)
        throw malformed(
          "the text does not end with the ] of its array: it was cut off on its way, or is not JSON",
        );
      if (bytes <= SMALL_BYTES && rules !== null)
        readInFull(Buffer.concat(head), rules);
    },
  };
}

/** Whether anything but space has come; it must be the array's bracket. */
function beginsWell(chunk: Buffer): boolean {
  const first = chunk.find((byte) => !isSpace(byte));
  if (first === undefined) return false;
  if (first === OPEN_ARRAY) return true;
  throw malformed("the text must be a JSON array and begin with [");
}

function lastByte(chunk: Buffer): number | undefined {
  for (let at = chunk.length - 1; at >= 0; at--)
    if (!isSpace(chunk[at]!)) return chunk[at];
  return undefined;
}

/** @throws BAD_REQUEST with the paths of the first faults */
function readInFull(text: Buffer, rules: BulkRules): void {
  if (!isUtf8(text)) throw malformed("the text is not UTF-8");
  let list: unknown;
  try {
    list = JSON.parse(text.toString("utf8"));
  } catch (error) {
    throw malformed(`the text is not JSON: ${reasonOf(error)}`);
  }
  if (!Array.isArray(list) || list.length === 0)
    throw malformed("expected an array of at least one equipment");
  const faults: FieldError[] = [];
  for (let i = 0; i < list.length && faults.length < MOST_FAULTS; i++)
    for (const { path, reason } of readEquipment(list[i], `$[${i}]`, rules)
      .errors)
      faults.push({ path, reason });
  if (faults.length > 0)
    throw refusal(
      "BAD_REQUEST",
      "the upload holds what cannot be stored; `errors` names the first faults, and nothing of it was taken",
      faults.slice(0, MOST_FAULTS),
    );
}

const malformed = (reason: string) =>
  refusal("BAD_REQUEST", `the upload cannot be read: ${reason}`, [
    { path: "$", reason },
  ]);

const SPACE = 0x20;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const isSpace = (byte: number): boolean =>
  byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09;
