/**
 * Traces to an OpenTelemetry collector, where OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) names one:
 * only then the SDK is loaded. The standard's other variables (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*,
 * OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED) are the SDK's own to read.
 */
import type { Logger } from "pino";
import { seldomLines } from "../observe/repeats.js";
import type { Tracer } from "../ports.js";

export interface Tracing {
  readonly tracer: Tracer;
  /** Hands over what is left, within the exporter's own time-out. */
  readonly close: () => Promise<void>;
}

/** A collector that does not answer must not hold up a stop. */
const EXPORT_MS = 5000;

/** Answers undefined where nothing is to be traced. */
export async function openTracing(
  env: NodeJS.ProcessEnv,
  options: { service: string; sampling: number; log: Logger },
): Promise<Tracing | undefined> {
  const set = (name: string): boolean => (env[name] ?? "") !== "";
  const wanted =
    set("OTEL_EXPORTER_OTLP_ENDPOINT") ||
    set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  if (!wanted || env["OTEL_SDK_DISABLED"] === "true") return undefined;
  const [api, sdk, resources, otlp, { createTracer }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace-node"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("../observe/tracing.js"),
  ]);
  const say = seldomLines(options.log.child({ part: "tracing" }), Date.now);
  const line =
    (level: "debug" | "warn") =>
    (message: string, ...args: unknown[]): void =>
      say(level, `traces: ${message}`, args.length > 0 ? { args } : {});
  api.diag.setLogger(
    {
      error: line("warn"),
      warn: line("warn"),
      info: line("debug"),
      debug: line("debug"),
      verbose: line("debug"),
    },
    api.DiagLogLevel.WARN,
  );
  const provider = new sdk.NodeTracerProvider({
    resource: resources
      .resourceFromAttributes({ "service.name": options.service })
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [
      new sdk.BatchSpanProcessor(
        new otlp.OTLPTraceExporter(
          set("OTEL_EXPORTER_OTLP_TIMEOUT") ||
            set("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            ? {}
            : { timeoutMillis: EXPORT_MS },
        ),
      ),
    ],
  });
  return {
    tracer: createTracer(provider.getTracer("twinstream"), options.sampling),
    close: () => provider.shutdown(),
  };
}
