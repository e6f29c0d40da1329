/** W3C Trace Context, version 00: `00-<trace id>-<span id>-<flags>`, as anyone may write it into a header. */
import type { LogRecord } from "./message.js";
import { HEADER } from "./message.js";

const FORM = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const SAMPLED = 1;
const NO_ID = /^0+$/;

export interface TracePlace {
  readonly traceId: string;
  readonly spanId: string;
}

/** Its parts, when it is well-formed and says that the trace is sampled; else null, and the text goes no further. */
export function readTraceparent(text: unknown): TracePlace | null {
  if (typeof text !== "string") return null;
  const [, traceId, spanId, flags] = FORM.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined) return null;
  if ((Number.parseInt(flags!, 16) & SAMPLED) === 0) return null;
  return NO_ID.test(traceId) || NO_ID.test(spanId) ? null : { traceId, spanId };
}

/** Traced messages that one span names, at most. */
export const MOST_LINKS = 32;

/** The traceparents of a batch's records, of the first few that are traced, each once. */
export function tracedIn(records: readonly LogRecord[]): string[] {
  const found = new Set<string>();
  for (const { headers } of records) {
    const text = headers[HEADER.traceparent];
    if (text === undefined || readTraceparent(text) === null) continue;
    found.add(text);
    if (found.size === MOST_LINKS) break;
  }
  return [...found];
}
