/** Where one reading came from, or why there is none. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { askedTime } from "../../domain/reading-search.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { explainReading, type ExplainDeps } from "../explain.js";
import { refusal } from "../problems.js";
import { DeviceParams, text } from "../schemas.js";
import { mustBeKnown } from "./devices.js";

/** A search reads a part of the log: two at a time, each for so long and so much at most. */
const AT_ONCE = 2;
const SEARCH_MS = 10_000;
const SEARCH_BYTES = 256 * 1024 * 1024;

const Query = Type.Object({
  point: text(256, "the point's name"),
  at: Type.String({
    minLength: 1,
    maxLength: 64,
    description:
      "the reading's time, exactly: ISO 8601, Unix seconds or milliseconds",
  }),
});

export function explainRoutes(
  deps: GatewayDeps,
  explain: ExplainDeps,
): FastifyPluginAsyncTypebox {
  let under = 0;

  return async (app) => {
    app.get(
      "/devices/:id/explain",
      {
        schema: {
          summary: "Where one reading came from, or why there is none",
          description:
            "Reads the device's partition of the log from 24 h before the reading's time on. `twinstream explain` does the same without a limit of time.",
          params: DeviceParams,
          querystring: Query,
        },
      },
      async (request) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const { point, at } = request.query;
        const atUs = momentOf(at);
        await mustBeKnown(deps, tenant, id);
        if (under >= AT_ONCE)
          throw refusal(
            "TOO_MANY_SEARCHES",
            `${AT_ONCE} searches of the log are under way; try again in some seconds, or run: ${command(tenant, id)}`,
          );
        under++;
        try {
          const answer = await explainReading(
            { tenant, deviceId: id, point, atUs },
            explain,
            {
              bytes: SEARCH_BYTES,
              signal: AbortSignal.timeout(SEARCH_MS),
              progress: () => undefined,
            },
          );
          if (answer.complete) return answer.explanation;
          const { topic, partition, offset, to } = answer.upTo;
          throw refusal(
            "TOO_SLOW",
            `the search reached offset ${offset} of ${topic}/${partition} (this stretch ends at ${to}) and may take no longer here; run: ${command(tenant, id)}`,
          );
        } finally {
          under--;
        }
      },
    );
  };
}

const command = (tenant: string, deviceId: string): string =>
  `twinstream explain ${deviceId} --tenant ${tenant} --point NAME --at TIME`;

function momentOf(given: string): number {
  const us = askedTime(given);
  if (us !== null) return us;
  throw refusal("BAD_REQUEST", "`at` is no time of a reading", [
    {
      path: "query.at",
      reason:
        "must be ISO 8601, Unix seconds or milliseconds, from 1970 to 2199",
    },
  ]);
}
