/** The tracer on OpenTelemetry's API. No context is ever active: inside one every await would be slower. */
import {
  type Link,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind as Kind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer as ApiTracer,
} from "@opentelemetry/api";
import { readTraceparent } from "../domain/traceparent.js";
import { reasonOf } from "../errors.js";
import type { SpanKind, Tracer } from "../ports.js";

const KINDS: Readonly<Record<SpanKind, Kind>> = {
  internal: Kind.INTERNAL,
  server: Kind.SERVER,
  client: Kind.CLIENT,
  producer: Kind.PRODUCER,
  consumer: Kind.CONSUMER,
};

/**
 * @param sampling TRACE_SAMPLING
 * @param random in [0, 1)
 */
export function createTracer(
  api: ApiTracer,
  sampling: number,
  random: () => number = Math.random,
): Tracer {
  return {
    pick: (messages) => random() < sampling * messages,
    start(name, kind, from, attributes) {
      const [parent, ...others] = from.flatMap(contextOf);
      const context =
        parent === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, parent);
      const links: Link[] = others.map((other) => ({ context: other }));
      const span = api.startSpan(
        name,
        { kind: KINDS[kind], links, ...(attributes && { attributes }) },
        context,
      );
      return {
        traceparent: textOf(span.spanContext()),
        set: (more) => void span.setAttributes(more),
        end(error) {
          if (error !== undefined)
            span.setStatus({
              code: SpanStatusCode.ERROR,
              message: reasonOf(error),
            });
          span.end();
        },
      };
    },
  };
}

function contextOf(text: string): SpanContext[] {
  const place = readTraceparent(text);
  if (place === null) return [];
  return [{ ...place, traceFlags: TraceFlags.SAMPLED, isRemote: true }];
}

const textOf = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
