/** Spans of a lane's slices and flushes: only where a tracer is there and some message of them is traced. */
import { MOST_LINKS, tracedIn } from "../domain/traceparent.js";
import type { Span, Tracer } from "../ports.js";
import type { Prepared } from "./prepare.js";
import type { Slice } from "./slices.js";

export interface Traced {
  /** The work, as a span of its own below this one; its failure ends both. */
  step<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** What begins a step and answers how to end it; undefined where nothing is traced. */
  readonly begin: ((name: string) => (error?: unknown) => void) | undefined;
  /** Where what follows goes on; undefined where nothing is traced. */
  readonly traceparent: string | undefined;
  end(error?: unknown): void;
}

const UNTRACED: Traced = {
  step: (_, work) => work(),
  begin: undefined,
  traceparent: undefined,
  end: () => undefined,
};

/** The hot stage of a slice. */
export function traceSlice(
  tracer: Tracer | undefined,
  { topic, records, from, to }: Slice,
  partition: number,
): Traced {
  if (tracer === undefined) return UNTRACED;
  const traced = tracedIn(records);
  if (traced.length === 0) return UNTRACED;
  const span = tracer.start("lane batch", "consumer", traced, {
    "messaging.system": "kafka",
    "messaging.destination.name": topic,
    "messaging.destination.partition.id": String(partition),
    "messaging.kafka.offset": from,
    "messaging.batch.message_count": records.length,
    "twinstream.to_offset": to,
  });
  return stepsOf(tracer, span);
}

/** A flush, below the first of what it takes. */
export function traceFlush(
  tracer: Tracer | undefined,
  prepared: readonly Prepared[],
  partition: number,
): Traced {
  if (tracer === undefined) return UNTRACED;
  const from = prepared.flatMap(({ traceparent = [] }) => traceparent);
  if (from.length === 0) return UNTRACED;
  const span = tracer.start("flush", "client", from.slice(0, MOST_LINKS), {
    "db.system.name": "postgresql",
    "messaging.destination.partition.id": String(partition),
    "messaging.batch.message_count": prepared.reduce(
      (sum, { slice }) => sum + slice.records.length,
      0,
    ),
  });
  return stepsOf(tracer, span);
}

function stepsOf(tracer: Tracer, span: Span): Traced {
  let open = true;
  const { traceparent } = span;
  const begin = (name: string) => {
    const step = tracer.start(name, "internal", [traceparent]);
    return step.end;
  };
  const end = (error?: unknown): void => {
    if (open) span.end(error);
    open = false;
  };
  return {
    traceparent,
    begin,
    end,
    async step(name, work) {
      const done = begin(name);
      try {
        const answer = await work();
        done();
        return answer;
      } catch (error) {
        done(error);
        end(error);
        throw error;
      }
    },
  };
}
