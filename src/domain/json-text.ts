/**
 * Looking at JSON text without making it anew: where a member's value stands, and whether its strings can be stored.
 */

/**
 * The text of a member of the outermost object, as it was written; null when it is not there. Of a member given twice the
 * last counts, as in JSON.parse. `text` must be a JSON object that JSON.parse accepts: nothing is checked again.
 */
export function memberText(text: string, name: string): string | null {
  let found: string | null = null;
  let at = afterSpace(text, afterSpace(text, 0) + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const keyEnd = afterString(text, at);
    const key: unknown = JSON.parse(text.slice(at, keyEnd));
    const start = afterSpace(text, afterSpace(text, keyEnd) + 1);
    const end = afterValue(text, start);
    if (key === name) found = text.slice(start, end);
    const next = afterSpace(text, end);
    at = text.charCodeAt(next) === COMMA ? afterSpace(text, next + 1) : next;
  }
  return found;
}

function afterSpace(text: string, from: number): number {
  let at = from;
  for (; ; at++) {
    const code = text.charCodeAt(at);
    if (code !== SPACE && code !== LF && code !== CR && code !== TAB) return at;
  }
}

function afterString(text: string, quote: number): number {
  let end = text.indexOf('"', quote + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end + 1;
}

/** Whether an odd number of backslashes stands before. */
function isEscaped(text: string, at: number): boolean {
  let before = at - 1;
  while (text.charCodeAt(before) === BACKSLASH) before--;
  return (at - before) % 2 === 0;
}

function afterValue(text: string, start: number): number {
  let at = start;
  let depth = 0;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = afterString(text, at) - 1;
    else if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth++;
    else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      if (depth === 0) return at;
      depth--;
    } else if (code === COMMA && depth === 0) return at;
    else if (code <= SPACE && depth === 0) return at;
  }
  return at;
}

/** An escape that may stand for NUL or half of a surrogate pair. JSON text in well-formed UTF-8 has no other way to say them. */
const SUSPICIOUS = /\\u(?:0000|d[89a-f])/i;
// Cs under the u flag matches only surrogates without their other half.
const UNSTORABLE = /[\0\p{Cs}]/u;

/**
 * The path of a string or key that holds NUL or a lone surrogate, which neither the database nor UTF-8 can; null when all is
 * well. `text` is the JSON text of `value`; without a suspicious escape in it the value is not looked at.
 */
export function unstorablePath(text: string, value: unknown): string | null {
  if (!text.includes("\\") || !SUSPICIOUS.test(text)) return null;
  // A stack of our own: nesting is bounded only by the size of a message.
  const stack: { value: unknown; path: string }[] = [{ value, path: "" }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (typeof top.value === "string") {
      if (UNSTORABLE.test(top.value)) return top.path || "payload";
    } else if (typeof top.value === "object" && top.value !== null) {
      for (const [key, inner] of Object.entries(top.value)) {
        const path = top.path === "" ? key : `${top.path}.${key}`;
        if (UNSTORABLE.test(key)) return path;
        stack.push({ value: inner, path });
      }
    }
  }
  return null;
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
