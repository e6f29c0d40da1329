/** What happened at a device, newest first. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { toIso } from "../../domain/time.js";
import type { EventPlace } from "../../ports.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { LATEST_US, momentOf } from "../moment.js";
import { refusal } from "../problems.js";
import { cursor, DeviceParams, limit, moment } from "../schemas.js";
import { mustBeKnown } from "./devices.js";

const EVENTS_A_PAGE = { usual: 100, most: 1000 };

const EventsQuery = Type.Object({
  from: moment("ISO 8601, Unix seconds or milliseconds"),
  to: moment("as `from`; the event of that very time is in"),
  limit: limit(1, EVENTS_A_PAGE.most, EVENTS_A_PAGE.usual),
  cursor,
});

export function eventRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      "/devices/:id/events",
      {
        schema: {
          summary: "What happened at a device, newest first",
          params: DeviceParams,
          querystring: EventsQuery,
        },
      },
      async (request, reply) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const { query } = request;
        const page = await deps.records.events(tenant, id, {
          fromUs: momentOf("from", query.from) ?? 0,
          toUs: momentOf("to", query.to) ?? LATEST_US,
          before: placeOf(query.cursor),
          limit: query.limit ?? EVENTS_A_PAGE.usual,
        });
        if (page.events.length === 0) await mustBeKnown(deps, tenant, id);
        // The device's own text goes in as it is: parsed and written again, integers beyond 2^53 would change.
        const events = page.events.map(
          ({ timeUs, receivedUs, payload }) =>
            `{"time":"${toIso(timeUs)}","received_at":"${toIso(receivedUs)}","payload":${payload}}`,
        );
        const last = page.events.at(-1);
        const next =
          page.more && last !== undefined
            ? `"${last.timeUs}_${last.hash}"`
            : "null";
        return reply
          .type("application/json")
          .send(
            `{"device_id":"${id}","events":[${events.join(",")}],"next":${next}}`,
          );
      },
    );
  };
}

/** @throws BAD_REQUEST for a text that no page gave as `next` */
function placeOf(text: string | undefined): EventPlace | null {
  if (text === undefined) return null;
  const [, timeUs, hash] = /^(\d{1,18})_([0-9a-f]{64})$/.exec(text) ?? [];
  if (hash !== undefined && Number(timeUs) <= LATEST_US)
    return { timeUs: Number(timeUs), hash };
  throw refusal("BAD_REQUEST", "the cursor is not one of this route", [
    { path: "query.cursor", reason: "must be `next` of the page before" },
  ]);
}
