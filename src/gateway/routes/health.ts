/** Whether the gateway lives, whether what it stands on answers, and its metrics. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { GatewayDeps } from "../deps.js";

export function healthRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  const startedMs = deps.clock();
  const config = { access: "public", limit: "none" } as const;
  const open = (summary: string) => ({ schema: { summary }, config });
  return async (app) => {
    app.get("/health", open("Whether the gateway lives"), async () => ({
      status: "ok",
      uptime_s: Math.round((deps.clock() - startedMs) / 1000),
    }));
    app.get(
      "/health/detailed",
      open("Whether the services around it answer"),
      async (_request, reply) => {
        const found = await deps.health.all();
        return reply.code(found.status === "ok" ? 200 : 503).send(found);
      },
    );
    app.get(
      "/metrics",
      {
        schema: {
          summary: "Metrics of this process, for Prometheus",
          produces: ["text/plain"],
        },
        config,
      },
      async (_request, reply) => {
        const { contentType, body } = await deps.metrics();
        return reply.type(contentType).send(body);
      },
    );
  };
}
