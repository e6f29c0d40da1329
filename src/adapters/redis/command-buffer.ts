/** Redis commands as bytes of its protocol (RESP arrays of bulk strings), gathered for one send. Pure. */
import type { Script } from "./scripts.js";

export interface CommandBuffer {
  /** Begins a command; all its arguments, the name among them, follow with `arg`. */
  command(args: number): void;
  /**
   * Begins a call of a script with one key and so many further arguments. The first call of a script in a buffer carries its
   * text, so that Redis knows it whatever happened before (restart, SCRIPT FLUSH, failover); the others its SHA-1.
   */
  script(script: Script, key: string, args: number): void;
  arg(text: string): void;
}

export interface Batch {
  readonly bytes: Buffer;
  readonly commands: number;
}

const FIRST_BYTES = 64 * 1024;
/** A scratch buffer that one large batch has grown beyond this is given back. */
const KEEP_BYTES = 8 * 1024 * 1024;
/** "$", the length in decimal, and twice CRLF. */
const FRAME_BYTES = 24;
/** Up to here `putShort` is faster than the native copy. */
const SHORT = 64;
const ASTERISK = 0x2a;
const DOLLAR = 0x24;
const ZERO = 0x30;
const CR = 13;
const LF = 10;

/** A function that lets its argument gather commands, over a scratch buffer that each call begins anew. */
export function createGatherer(): (put: (out: CommandBuffer) => void) => Batch {
  let scratch = Buffer.allocUnsafe(FIRST_BYTES);
  let length = 0;
  let commands = 0;
  const sent = new Set<Script>();

  const makeRoom = (bytes: number): void => {
    if (length + bytes <= scratch.length) return;
    const larger = Buffer.allocUnsafe(
      Math.max(scratch.length * 2, length + bytes),
    );
    scratch.copy(larger, 0, 0, length);
    scratch = larger;
  };
  const putLength = (mark: number, value: number): void => {
    scratch[length++] = mark;
    let digits = 1;
    for (let rest = value; rest >= 10; rest = (rest / 10) | 0) digits++;
    let at = length + digits;
    length = at;
    for (let rest = value; at > length - digits; rest = (rest / 10) | 0)
      scratch[--at] = ZERO + (rest % 10);
    scratch[length++] = CR;
    scratch[length++] = LF;
  };
  /** Most arguments are short and ASCII; a call into native code costs more than this loop. False: not ASCII, nothing put. */
  const putShort = (text: string): boolean => {
    const before = length;
    putLength(DOLLAR, text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) {
        length = before;
        return false;
      }
      scratch[length++] = code;
    }
    return true;
  };
  const command = (args: number): void => {
    makeRoom(FRAME_BYTES);
    putLength(ASTERISK, args);
    commands++;
  };
  const arg = (text: string): void => {
    makeRoom(text.length * 3 + FRAME_BYTES);
    if (text.length > SHORT || !putShort(text)) {
      const bytes = Buffer.byteLength(text);
      putLength(DOLLAR, bytes);
      // As many bytes as characters: all ASCII, which this copies fastest.
      const encoding = bytes === text.length ? "latin1" : "utf8";
      length += scratch.write(text, length, encoding);
    }
    scratch[length++] = CR;
    scratch[length++] = LF;
  };
  const script = (called: Script, key: string, args: number): void => {
    command(args + 4);
    const head = sent.has(called) ? called.byHash : called.byText;
    sent.add(called);
    makeRoom(head.length);
    scratch.set(head, length);
    length += head.length;
    arg(key);
  };

  const out: CommandBuffer = { command, script, arg };
  return (put) => {
    length = 0;
    commands = 0;
    sent.clear();
    put(out);
    // A copy: the socket holds on to it until it is sent, while the next batch is gathered.
    const bytes = Buffer.from(scratch.subarray(0, length));
    if (scratch.length > KEEP_BYTES) scratch = Buffer.allocUnsafe(FIRST_BYTES);
    return { bytes, commands };
  };
}
