/**
 * What traces are made of. Nothing travels along by itself: a span's place is a text, W3C's `traceparent`, which goes in the
 * header of a record, an MQTT 5 user property or an HTTP header, and is handed to whatever comes next. A span stands for a
 * batch, never for a message: it is the child of the first traced message in it and linked to the others.
 */

export type SpanKind =
  "internal" | "server" | "client" | "producer" | "consumer";
export type SpanAttributes = Readonly<Record<string, string | number>>;

export interface Span {
  /** `00-<trace>-<span>-<flags>`, for what is to be its child. */
  readonly traceparent: string;
  set(attributes: SpanAttributes): void;
  /** @param error why what it stands for failed */
  end(error?: unknown): void;
}

/** Where nothing is traced there is none, and callers do nothing for it. */
export interface Tracer {
  /**
   * @param from traceparents of what is worked on, sampled ones only: the first is the parent, the others are linked (a few
   * dozen of them). None makes a new trace.
   */
  start(
    name: string,
    kind: SpanKind,
    from: readonly string[],
    attributes?: SpanAttributes,
  ): Span;
  /** Whether a new trace is to begin with one of so many messages that have none: TRACE_SAMPLING of them do. */
  pick(messages: number): boolean;
}
