/** The audit log: a line for every request that changes something, once it is answered. Never what it carried. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Observer, TelemetryEvent } from "../ports.js";

const READING = new Set(["GET", "HEAD", "OPTIONS"]);

type Outcome = Extract<TelemetryEvent, { type: "audit" }>["outcome"];

/** Before any route is registered. */
export function audit(app: FastifyInstance, observer: Observer): void {
  app.addHook("onResponse", async (request, reply) => {
    const nothing = request.is404 || reply.statusCode === 405;
    if (nothing || READING.has(request.method)) return;
    const { audited, identity } = request;
    observer.emit({
      type: "audit",
      act:
        request.routeOptions.config.act ??
        `${request.method} ${request.routeOptions.url}`,
      user: audited?.user ?? identity?.username ?? "nobody",
      tenant: audited?.tenant ?? identity?.tenant ?? null,
      requestId: request.id,
      outcome: outcomeOf(request, reply),
      status: reply.statusCode,
      subject: audited?.subject ?? subjectOf(request, reply),
      from: request.ip,
    });
  });
}

function outcomeOf(request: FastifyRequest, reply: FastifyReply): Outcome {
  // The client left in the middle of its body.
  if (request.raw.errored instanceof Error) return "broken_off";
  if (reply.statusCode >= 500) return "failed";
  return reply.statusCode >= 400 ? "refused" : "ok";
}

/** What was made says Location; else what the address names. */
function subjectOf(request: FastifyRequest, reply: FastifyReply) {
  const made = reply.getHeader("location");
  if (typeof made === "string") return made;
  const named = Object.values((request.params ?? {}) as object);
  return named.length === 0 ? null : named.map(String).join("/");
}
