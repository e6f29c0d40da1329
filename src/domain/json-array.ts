/**
 * Cuts the text of one JSON array, however long and however it arrives, into the bytes of its elements. It knows strings,
 * nesting and commas, no more: whether an element is JSON is for `JSON.parse` to say, of that element alone. Between two
 * calls it holds a part of one element at most.
 */
export interface ArrayLimits {
  /** Bytes of one element; a longer one is skipped and reported, and costs no memory. */
  readonly elementBytes: number;
  /** Brackets open at a time within one element; a deeper one is skipped and reported. */
  readonly depth: number;
  readonly elements: number;
}

/** An element, in the order of the array. */
export type ArrayElement =
  | {
      readonly ordinal: number;
      /** Its JSON text; a view of the chunk it came in where it lies in one. Spaces around it are left on. */
      readonly bytes: Buffer;
      readonly skipped: null;
    }
  | {
      readonly ordinal: number;
      readonly bytes: null;
      /** Why its bytes were not kept. */
      readonly skipped: string;
    };

export interface ArraySplitter {
  /** Hands over the elements that end in this chunk; answers why the text is no array, or null while it may be one. */
  push(chunk: Buffer, each: (element: ArrayElement) => void): string | null;
  /** No more comes: why the text is no whole array, or null when it was one. */
  end(): string | null;
  /** Elements seen to their end. */
  readonly count: number;
}

const SPACE = 0x20;
const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const isSpace = (byte: number): boolean =>
  byte === SPACE || byte === NEWLINE || byte === RETURN || byte === TAB;

/** Bytes at which the scan of an element must think, outside a string. */
const SPECIAL = new Uint8Array(256);
for (const byte of [
  QUOTE,
  COMMA,
  OPEN_ARRAY,
  CLOSE_ARRAY,
  OPEN_OBJECT,
  CLOSE_OBJECT,
])
  SPECIAL[byte] = 1;

/** Where the scan stands: before `[`, where an element may begin, within one, after the last `]`, or past saving. */
type Place = "before" | "between" | "within" | "after" | "failed";

export function createArraySplitter(limits: ArrayLimits): ArraySplitter {
  let place: Place = "before";
  let wrong: string | null = null;
  let count = 0;
  /** Open brackets of the element. */
  let depth = 0;
  let inString = false;
  /** The byte before was a backslash that escapes this one. */
  let escaped = false;
  /** Whether a comma came last, so that an element must follow. */
  let owing = false;
  let skipped: string | null = null;
  let held: Buffer[] = [];
  let heldBytes = 0;

  function fail(why: string): string {
    place = "failed";
    wrong = why;
    held = [];
    return why;
  }

  function skip(why: string): void {
    skipped ??= why;
    held = [];
  }

  function hold(part: Buffer): void {
    heldBytes += part.length;
    if (heldBytes > limits.elementBytes)
      skip(`larger than ${limits.elementBytes} bytes`);
    if (skipped === null && part.length > 0) held.push(part);
  }

  /** The element ends before the byte at `to`. */
  function finish(
    chunk: Buffer,
    from: number,
    to: number,
    each: (element: ArrayElement) => void,
  ): void {
    hold(chunk.subarray(from, to));
    const ordinal = count++;
    if (skipped === null) {
      const bytes = held.length === 1 ? held[0]! : Buffer.concat(held);
      each({ ordinal, bytes, skipped });
    } else each({ ordinal, bytes: null, skipped });
    held = [];
    heldBytes = 0;
    skipped = null;
  }

  /** Index after the string's end, or the chunk's length when it goes on in the next. */
  function scanString(chunk: Buffer, start: number): number {
    const { length } = chunk;
    let at = start;
    if (escaped && at < length) {
      escaped = false;
      at++;
    }
    while (at < length) {
      const byte = chunk[at++];
      if (byte === QUOTE) {
        inString = false;
        return at;
      }
      if (byte === BACKSLASH) {
        if (at === length) escaped = true;
        at++;
      }
    }
    return length;
  }

  /** Index of the comma or bracket that ends the element, or the chunk's length when it goes on in the next. */
  function scanElement(chunk: Buffer, start: number): number {
    const { length } = chunk;
    let at = start;
    while (at < length) {
      if (inString) {
        at = scanString(chunk, at);
        continue;
      }
      while (at < length && SPECIAL[chunk[at]!] === 0) at++;
      if (at >= length) return length;
      const byte = chunk[at];
      if (byte === QUOTE) inString = true;
      else if (byte === COMMA) {
        if (depth === 0) return at;
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (++depth > limits.depth)
          skip(`nested deeper than ${limits.depth} levels`);
      } else {
        if (depth === 0) return at;
        depth--;
      }
      at++;
    }
    return length;
  }

  function push(
    chunk: Buffer,
    each: (element: ArrayElement) => void,
  ): string | null {
    const { length } = chunk;
    let at = 0;
    while (at < length && place !== "failed") {
      if (place === "within") {
        const from = at;
        at = scanElement(chunk, at);
        if (at === length) {
          hold(chunk.subarray(from));
          break;
        }
        finish(chunk, from, at, each);
        owing = chunk[at] === COMMA;
        if (chunk[at] === CLOSE_OBJECT)
          return fail(`a } that closes nothing after element ${count - 1}`);
        place = owing ? "between" : "after";
        at++;
        continue;
      }
      const byte = chunk[at]!;
      if (isSpace(byte)) at++;
      else if (place === "before") {
        if (byte !== OPEN_ARRAY) return fail("the text is not a JSON array");
        place = "between";
        at++;
      } else if (place === "after") return fail("text after the array's end");
      else if (byte === CLOSE_ARRAY && !owing) {
        place = "after";
        at++;
      } else if (byte === COMMA || byte === CLOSE_ARRAY)
        return fail(`no element where element ${count} should be`);
      else if (count >= limits.elements)
        return fail(`more than ${limits.elements} elements`);
      else place = "within";
    }
    return wrong;
  }

  return {
    push,
    end() {
      if (place === "failed" || place === "after") return wrong;
      if (place === "before") return fail("the text is empty");
      return fail(`the text ends within the array, at element ${count}`);
    },
    get count() {
      return count;
    },
  };
}
