/** History from the database: figures by hour or day, or the readings themselves; JSON by pages, or CSV as a stream. */
import { PassThrough } from "node:stream";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { address } from "../../domain/names.js";
import { reasonOf } from "../../errors.js";
import { exportCsv } from "../analytics/export.js";
import { readPage } from "../analytics/page.js";
import { type HistoryQuestion, readQuestion } from "../analytics/question.js";
import { readScope, type Scope } from "../analytics/scope.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { inTime } from "../in-time.js";
import { refusal } from "../problems.js";
import { cursor, DeviceParams, limit } from "../schemas.js";

const ROWS_A_PAGE = { usual: 10_000, most: 50_000 };
/** Sensors that a question may name: with three type classes each they are read together. */
const MOST_NAMES = 32;
/** Milliseconds for a page. */
const PAGE_MS = 20_000;
/** Milliseconds for a CSV of any length, at the client's pace. */
const EXPORT_MS = 3_600_000;
/** Exports at a time in this process: each holds a connection of the database for as long as its client takes. */
const MOST_EXPORTS = 4;

const name = Type.String({
  minLength: 1,
  maxLength: 256,
  // No text column holds NUL.
  pattern: "^[^\\u0000]*$",
});
const moment = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 64, description }));
const Params = Type.Object({ uuid: DeviceParams.properties.id });
const Query = Type.Object({
  from: moment(
    "ISO 8601, Unix seconds or milliseconds; a day before `to` when not given. The whole bucket it falls into is shown",
  ),
  to: moment("as `from`; rows before it are shown; now when not given"),
  sensor: Type.Optional(
    Type.Union([name, Type.Array(name, { maxItems: MOST_NAMES })], {
      description: `sensor (point name), again for each of several, ${MOST_NAMES} at most; all when not given`,
    }),
  ),
  resolution: Type.Optional(
    Type.Enum(["auto", "raw", "hour", "day"], {
      description:
        "auto, when not given, is the finest that gives at most 2,000 rows a sensor",
    }),
  ),
  limit: limit(1, ROWS_A_PAGE.most, ROWS_A_PAGE.usual),
  cursor,
});

export function analyticsRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  let exports = 0;

  async function sendCsv(
    request: FastifyRequest,
    reply: FastifyReply,
    question: HistoryQuestion,
    scope: Scope,
  ): Promise<FastifyReply> {
    reply
      .type("text/csv; charset=utf-8; header=present")
      .header(
        "content-disposition",
        `attachment; filename="${scope.deviceId.replaceAll(":", "_")}-${scope.level}.csv"`,
      );
    if (request.method === "HEAD") return reply.send();
    if (exports >= MOST_EXPORTS)
      throw refusal(
        "TOO_SLOW",
        `${MOST_EXPORTS} CSV exports are under way, and no more run at a time; try again later, or page through the JSON`,
      );
    exports += 1;
    const out = new PassThrough();
    exportCsv(deps, question, scope, out)
      .then(
        () => out.end(),
        (error: unknown) => {
          // A client that left is no failure. Any other cuts the answer short, so that the client sees that it is not whole.
          if (out.destroyed) return;
          deps.observer.emit({
            type: "failure",
            where: `gateway CSV ${request.id}`,
            error: reasonOf(error),
          });
          out.destroy(
            error instanceof Error ? error : new Error(reasonOf(error)),
          );
        },
      )
      .finally(() => {
        exports -= 1;
      });
    return reply.send(out);
  }

  return async (app) => {
    app.get(
      "/analytics/equipment/:uuid/history",
      {
        schema: {
          summary: "The device's history: figures by hour or day, or readings",
          description:
            "JSON by pages, or the whole as CSV (Accept: text/csv), for which `limit` means nothing.",
          params: Params,
          querystring: Query,
        },
        handlerTimeout: EXPORT_MS,
      },
      async (request, reply) => {
        const tenant = tenantOf(request);
        const { uuid } = request.params;
        const question = readQuestion(
          address(tenant, uuid),
          request.query,
          deps.clock() * 1000,
        );
        reply.header("vary", "accept");
        const scope = readScope(deps, tenant, uuid, question);
        if (/\btext\/csv\b/i.test(request.headers.accept ?? ""))
          return sendCsv(
            request,
            reply,
            question,
            await inTime(scope, PAGE_MS, "TOO_SLOW"),
          );
        const size = request.query.limit ?? ROWS_A_PAGE.usual;
        return inTime(
          scope.then((it) => readPage(deps, question, it, size)),
          PAGE_MS,
          "TOO_SLOW",
        );
      },
    );
  };
}
