/** The span of one append, and what the records of traced messages carry on. */
import { HEADER } from "../domain/message.js";
import { MOST_LINKS, readTraceparent } from "../domain/traceparent.js";
import type { InboundPacket, OutgoingRecord, Span, Tracer } from "../ports.js";

/**
 * Null where nothing of the append is traced. A message that came with a sampled trace keeps it; where none did, one of them
 * begins a trace now and then. Records get the header in place: the first the span's own, so that what follows is its child.
 */
export function traceAppend(
  tracer: Tracer,
  messages: readonly InboundPacket[],
  records: OutgoingRecord[],
): Span | undefined {
  const traced: { at: number; from: string }[] = [];
  for (const [at, { traceparent: from }] of messages.entries())
    if (from !== undefined && readTraceparent(from) !== null) {
      traced.push({ at, from });
      if (traced.length === MOST_LINKS) break;
    }
  if (traced.length === 0 && !tracer.pick(messages.length)) return undefined;
  const span = tracer.start(
    "bridge append",
    "producer",
    traced.map(({ from }) => from),
    { "messaging.batch.message_count": messages.length },
  );
  const carry = (at: number, traceparent: string): void => {
    const record = records[at];
    if (record === undefined) return;
    records[at] = {
      ...record,
      headers: { ...record.headers, [HEADER.traceparent]: traceparent },
    };
  };
  for (const { at, from } of traced) carry(at, from);
  carry(traced[0]?.at ?? 0, span.traceparent);
  return span;
}
