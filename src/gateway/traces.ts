/** A span for each traced request: of a client's own sampled trace (`traceparent`), or one that begins here now and then. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { HEADER, type LogHeaders } from "../domain/message.js";
import { readTraceparent } from "../domain/traceparent.js";
import type { Span, Tracer } from "../ports.js";

declare module "fastify" {
  interface FastifyRequest {
    /** Undefined where the request is not traced. */
    span: Span | undefined;
  }
}

/** Before any route is registered. */
export function traceRequests(app: FastifyInstance, tracer?: Tracer): void {
  app.decorateRequest("span", undefined);
  if (tracer === undefined) return;
  app.addHook("onRequest", async (request) => {
    const given = request.headers["traceparent"];
    const from =
      typeof given === "string" && readTraceparent(given) !== null
        ? [given]
        : [];
    if (from.length === 0 && !tracer.pick(1)) return;
    const route = request.routeOptions.url ?? "?";
    request.span = tracer.start(`${request.method} ${route}`, "server", from, {
      "http.request.method": request.method,
      "http.route": route,
    });
  });
  app.addHook("onResponse", async ({ span }, reply) => {
    span?.set({ "http.response.status_code": reply.statusCode });
    span?.end(
      reply.statusCode >= 500 ? `status ${reply.statusCode}` : undefined,
    );
  });
}

/** For what goes on with the request's trace. */
export const traceOf = ({
  span,
}: FastifyRequest): { traceparent?: string | undefined } => ({
  traceparent: span?.traceparent,
});

/** What a record bears of the trace it belongs to. */
export const traceHeaders = (
  traceparent: string | undefined,
): { headers?: LogHeaders } =>
  traceparent === undefined
    ? {}
    : { headers: { [HEADER.traceparent]: traceparent } };
