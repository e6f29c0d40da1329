/** Uploads: taken as a stream and kept under a claim, and what became of them. */
import type { IncomingMessage } from "node:http";
import {
  type FastifyPluginAsyncTypebox,
  TypeBoxValidatorCompiler,
} from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { UPLOAD_MS } from "../../domain/claim-check.js";
import { createJudge } from "../../domain/judge.js";
import { toIso } from "../../domain/time.js";
import { TwinstreamError } from "../../errors.js";
import type { UploadClaim } from "../../ports.js";
import { letGo } from "../bulk/pour.js";
import {
  CLAIMS_A_PAGE,
  ClaimParams,
  ClaimsQuery,
  UploadBody,
  UploadHeaders,
} from "../bulk/schemas.js";
import { createUploads, type UploadDeps } from "../bulk/uploads.js";
import { userOf } from "../auth/identity.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { inTime } from "../in-time.js";
import { refusal } from "../problems.js";
import { traceOf } from "../traces.js";

/** An upload's tenant is its user's, and known. */
const NO_TENANTS: ReadonlySet<string> = new Set();
/** Seconds after which to ask again for an upload that is still arriving. */
const ASK_AGAIN_S = 5;
/** What the store may take after the last byte, milliseconds. */
const STORE_MS = 5 * 60_000;
/** Of each upload in a list; the upload itself shows a hundred. */
const ERRORS_LISTED = 5;
/** Milliseconds that a closing gateway waits for broken-off uploads to be undone. */
const UNDO_MS = 5000;

export function bulkRoutes(
  deps: GatewayDeps,
  given: UploadDeps,
): FastifyPluginAsyncTypebox {
  const uploads = createUploads({
    ...deps,
    ...given,
    judge: createJudge({ ...deps.settings.rules, tenants: NO_TENANTS }),
  });
  const { maxBytes } = given.limits;

  return async (app) => {
    // The body stays a stream, whatever it is said to be.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", (_request, body, done) => done(null, body));
    app.addHook("onClose", async () => {
      await inTime(uploads.end(), UNDO_MS, "TOO_SLOW").catch(() => {
        deps.observer.emit({
          type: "failure",
          where: "gateway: stopping",
          error: "uploads under way were not undone in time; a sweeper does it",
        });
      });
    });

    app.post(
      "/telemetry/bulk",
      {
        schema: { headers: UploadHeaders, body: UploadBody },
        validatorCompiler: (route) =>
          route.httpPart === "body"
            ? () => true
            : TypeBoxValidatorCompiler(route),
        bodyLimit: maxBytes,
        handlerTimeout: UPLOAD_MS + STORE_MS,
        config: { act: "upload" },
      },
      async (request, reply) => {
        try {
          const claim = await uploads.receive({
            tenant: tenantOf(request),
            userId: userOf(request).username,
            requestId: request.id,
            idempotencyKey: request.headers["idempotency-key"] ?? null,
            body: request.raw,
            gzipped: isGzipped(request),
            ...traceOf(request),
          });
          const statusUrl = `${request.url.split("?", 1)[0]?.replace(/\/bulk\/?$/, "/claims")}/${claim.claimId}`;
          return await reply.code(202).header("location", statusUrl).send({
            claim_id: claim.claimId,
            claim_check: claim.key,
            file_size: claim.fileSize,
            original_size: claim.originalSize,
            status_url: statusUrl,
          });
        } catch (error) {
          if (error instanceof TwinstreamError)
            if (error.code === "UPLOAD_UNDER_WAY")
              reply.header("retry-after", String(ASK_AGAIN_S));
          if (!request.raw.readableEnded) {
            reply.header("connection", "close");
            await letGo(request.raw);
          }
          throw error;
        }
      },
    );

    app.get(
      "/telemetry/claims",
      {
        schema: {
          summary: "Uploads, newest first, with the first of their errors",
          querystring: ClaimsQuery,
        },
      },
      async (request) => {
        const size = request.query.limit ?? CLAIMS_A_PAGE.usual;
        const found = await given.desk.list(tenantOf(request), {
          before: request.query.cursor ?? null,
          limit: size + 1,
        });
        const page = found.slice(0, size);
        return {
          claims: page.map((claim) => ({
            ...shownClaim(claim),
            errors: claim.errors.slice(0, ERRORS_LISTED),
            by: claim.userId,
            file_size: claim.fileSize,
            original_size: claim.originalSize,
          })),
          next: found.length > size ? (page.at(-1)?.claimId ?? null) : null,
        };
      },
    );

    app.get(
      "/telemetry/claims/:claim_id",
      { schema: { params: ClaimParams } },
      async (request) => {
        const { claim_id: claimId } = request.params;
        const claim = await given.desk.find(tenantOf(request), claimId);
        // One that is still arriving may yet break off, and then it was never there.
        if (claim === null || claim.state === "receiving")
          throw refusal("NOT_FOUND", `there is no claim ${claimId}`);
        return shownClaim(claim);
      },
    );
  };
}

/** @throws UNSUPPORTED_MEDIA_TYPE */
function isGzipped(request: FastifyRequest): boolean {
  const { headers }: IncomingMessage = request.raw;
  const type = headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  const encoding = headers["content-encoding"]?.trim().toLowerCase() ?? "";
  const isGzipFile =
    type === "application/gzip" || type === "application/x-gzip";
  const isPlain = encoding === "" || encoding === "identity";
  if (
    (type !== "application/json" && !isGzipFile) ||
    (!isPlain && encoding !== "gzip")
  )
    throw refusal(
      "UNSUPPORTED_MEDIA_TYPE",
      "an upload is JSON, sent as content-type: application/json, with content-encoding: gzip when it is compressed, or as content-type: application/gzip",
    );
  return isGzipFile || encoding === "gzip";
}

function shownClaim(claim: UploadClaim) {
  return {
    claim_id: claim.claimId,
    state: claim.state,
    equipments: claim.equipments,
    readings: claim.readings,
    errors: claim.errors,
    received_at: toIso(claim.receivedMs * 1000),
    finished_at:
      claim.finishedMs === null ? null : toIso(claim.finishedMs * 1000),
  };
}
