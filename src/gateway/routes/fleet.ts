/** The whole fleet in one look, and who asks. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { userOf } from "../auth/identity.js";
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

export function meRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      "/auth/me",
      {
        schema: { summary: "Whom the gateway takes the request's sender for" },
      },
      async (request) => ({
        ...userOf(request),
        auth: deps.auth === undefined ? "off" : "on",
      }),
    );
  };
}
