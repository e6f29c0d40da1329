/** Payload adapters: which there are, and which one reads a device's payloads that name no schema. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { ADAPTERS } from "../../domain/adapters/registry.js";
import { address } from "../../domain/names.js";
import { partitionOf } from "../../domain/partition.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { refusal } from "../problems.js";
import { DeviceParams } from "../schemas.js";
import { mustBeKnown } from "./devices.js";

const names = [...ADAPTERS.keys()];
const Body = Type.Object({
  adapter: Type.Enum(names, { description: "name of the adapter" }),
});

export function adapterRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  const { adapters } = deps;
  const { partitions } = deps.settings.rules;

  return async (app) => {
    app.get(
      "/adapters",
      { schema: { summary: "The adapters there are" } },
      async () => ({
        adapters: [...ADAPTERS.values()].map(({ name, version, title }) => ({
          name,
          version,
          title,
        })),
      }),
    );

    app.get(
      "/devices/:id/adapter",
      {
        schema: {
          summary: "The adapter that the device is registered with",
          params: DeviceParams,
        },
      },
      async (request) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        await mustBeKnown(deps, tenant, id);
        return { device_id: id, adapter: await adapters.find(tenant, id) };
      },
    );

    app.put(
      "/devices/:id/adapter",
      {
        schema: {
          summary: "Have the device's payloads read by an adapter",
          description:
            "It reads payloads that name no schema of their own, within some seconds and from then on.",
          params: DeviceParams,
          body: Body,
        },
        config: { act: "adapter set" },
      },
      async (request) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const { adapter } = request.body;
        await mustBeKnown(deps, tenant, id);
        const partition = partitionOf(
          Buffer.from(address(tenant, id)),
          partitions,
        );
        const done = await adapters.register(
          { tenant, deviceId: id, adapter },
          partition,
        );
        if (!done)
          throw refusal("DEVICE_UNKNOWN", `there is no tenant ${tenant}`);
        return { device_id: id, adapter };
      },
    );

    app.delete(
      "/devices/:id/adapter",
      {
        schema: {
          summary: "Have the device's payloads read as plain JSON again",
          params: DeviceParams,
        },
        config: { act: "adapter unset" },
      },
      async (request) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        await mustBeKnown(deps, tenant, id);
        await adapters.unregister(tenant, id);
        return { device_id: id, adapter: null };
      },
    );
  };
}
