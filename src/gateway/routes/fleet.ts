/** The whole fleet in one look. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { createFleet, type FleetDeps } from "../fleet.js";

export function fleetRoutes(
  deps: GatewayDeps,
  given: FleetDeps,
): FastifyPluginAsyncTypebox {
  const fleet = createFleet(deps, given);
  return async (app) => {
    app.get(
      "/fleet",
      {
        schema: {
          summary: "One's fleet in numbers, and how far the log is stored",
          description:
            "Parts whose service does not answer are null. `system` is of all tenants together.",
        },
      },
      (request) => fleet.summary(tenantOf(request)),
    );
  };
}
