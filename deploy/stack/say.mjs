// Words for people: how long it took, what the log said last.
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";

/** @param {number} began ms, as of Date.now() */
export function since(began) {
  return `${((Date.now() - began) / 1000).toFixed(1)} s`;
}

/** The last lines of a text, indented. @param {string} text @param {number} [count] */
export function lastLines(text, count = 15) {
  const lines = text.trimEnd().split("\n").slice(-count);
  return lines.map((line) => `    ${line}`).join("\n");
}

/** The last lines of a log file, indented. @param {string} file @param {number} [count] */
export function logTail(file, count = 15) {
  if (!existsSync(file)) return "    (no log)";
  const descriptor = openSync(file, "r");
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, 16_384));
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    return lastLines(bytes.toString("utf8"), count) || "    (empty log)";
  } finally {
    closeSync(descriptor);
  }
}
