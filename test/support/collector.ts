/** An OpenTelemetry collector in the test's own process: OTLP over HTTP, as JSON. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { until } from "./wait.js";

export interface SeenSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Undefined for a root. */
  readonly parentSpanId?: string;
  readonly links?: readonly { traceId: string; spanId: string }[];
  readonly status?: { code?: number; message?: string };
  readonly attributes: readonly { key: string; value: object }[];
  /** `service.name` of the process. */
  readonly service: string;
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly SeenSpan[];
  /** The spans of a trace, once all of these names are among them. */
  trace(traceId: string, names: readonly string[]): Promise<SeenSpan[]>;
  close(): Promise<void>;
}

interface Export {
  resourceSpans?: {
    resource: { attributes: { key: string; value: { stringValue: string } }[] };
    scopeSpans: { spans: Omit<SeenSpan, "service">[] }[];
  }[];
}

export async function startCollector(): Promise<Collector> {
  const spans: SeenSpan[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      for (const { resource, scopeSpans } of (JSON.parse(body) as Export)
        .resourceSpans ?? []) {
        const service =
          resource.attributes.find(({ key }) => key === "service.name")?.value
            .stringValue ?? "";
        for (const scope of scopeSpans)
          for (const span of scope.spans) spans.push({ ...span, service });
      }
      response.setHeader("content-type", "application/json");
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve()),
  );
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    trace: (traceId, names) =>
      until(
        () => {
          const mine = spans.filter((span) => span.traceId === traceId);
          const there = new Set(mine.map(({ name }) => name));
          return names.every((name) => there.has(name)) && mine;
        },
        {
          withinMs: 30_000,
          get what() {
            const mine = spans.filter((span) => span.traceId === traceId);
            return `${names.join()} in a trace that has ${mine.map(({ name }) => name).join()}`;
          },
        },
      ),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

let made = 0;

/** A sampled context of somebody else's, and its trace. */
export function someTrace(): { traceparent: string; traceId: string } {
  const traceId = `${"ab".repeat(14)}${(0x1000 + made++).toString(16)}`;
  return { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, traceId };
}
