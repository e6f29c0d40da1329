/** A record of the log as a person reads it, and as a line of JSON. Pure. */
import { isUtf8 } from "node:buffer";
import type { LogRecord } from "../domain/message.js";

/** Characters of a value that a person is shown; --json has all of it. */
const MOST_SHOWN = 2000;

export function recordText(record: LogRecord): string {
  const { topic, partition, offset, key, headers } = record;
  const shown = [
    `${topic}/${partition}@${offset}`,
    isoOf(record),
    `key=${key === null ? "none" : textOf(key)}`,
    ...Object.entries(headers).map(
      ([name, value]) => `${name}=${headerText(value)}`,
    ),
  ].join("  ");
  return `${shown}\n  ${valueText(record.value)}`;
}

/** `value` is the record's own JSON, as it was written; a value that is none is `value_text`, or `value_base64`. */
export function recordJson(record: LogRecord): string {
  const { topic, partition, offset, key, headers, value } = record;
  const head = JSON.stringify({
    topic,
    partition,
    offset,
    timestamp: isoOf(record),
    key: key === null ? null : textOf(key),
    headers,
  }).slice(0, -1);
  if (value === null) return `${head},"value":null}`;
  if (!isUtf8(value))
    return `${head},"value_base64":"${value.toString("base64")}"}`;
  const text = value.toString();
  return isJson(text)
    ? // A line each: what a device wrote over several lines is put on one.
      `${head},"value":${text.replaceAll(/[\r\n]+/g, " ")}}`
    : `${head},"value_text":${JSON.stringify(text)}}`;
}

function valueText(value: Buffer | null): string {
  if (value === null) return "(no value)";
  if (!isUtf8(value)) return `(${value.length} bytes that are no text)`;
  const text = printable(value.toString().replaceAll(/\s*[\r\n]+\s*/g, " "));
  return text.length <= MOST_SHOWN
    ? text
    : `${text.slice(0, MOST_SHOWN)}… (${value.length} bytes; --json has all of it)`;
}

const isoOf = ({ timestampMs }: LogRecord): string =>
  new Date(timestampMs).toISOString();

const textOf = (bytes: Buffer): string =>
  isUtf8(bytes)
    ? printable(bytes.toString())
    : `base64:${bytes.toString("base64")}`;

/** Devices write what they like: nothing of it may move the cursor of a terminal. */
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, "�");

const headerText = (value: string): string => {
  const text = printable(value);
  return /[\s"]/.test(text) ? JSON.stringify(text) : text;
};

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
