/** Every error answer is RFC 9457 problem JSON: a stable code of the table in errors.ts, what was wrong, and what to do. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { type ErrorCode, ERRORS, TwinstreamError } from "../errors.js";

/** What was wrong with one field of a request. `path` is dotted, such as `query.limit`. */
export interface FieldError {
  readonly path: string;
  readonly reason: string;
}

export interface Problem {
  readonly type: string;
  /** What happened, the same for every problem of this code. */
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  /** What happened this time, and what to do about it. */
  readonly detail: string;
  readonly errors: readonly FieldError[];
  readonly request_id: string;
}

/** Seconds after which a client may try again what failed for a service that was away. */
const RETRY_AFTER_S = 5;

/** An error whose detail is meant for the client. Other errors show no more than their code's own text. */
export function refusal(
  code: ErrorCode,
  detail: string,
  errors: readonly FieldError[] = [],
  options?: ErrorOptions,
): TwinstreamError {
  return Object.assign(new TwinstreamError(code, detail, options), {
    fields: errors,
  });
}

export function problem(
  code: ErrorCode,
  requestId: string,
  what: {
    detail?: string;
    errors?: readonly FieldError[];
    status?: number;
  } = {},
): Problem {
  const entry: { message: string; status?: number } = ERRORS[code];
  return {
    type: `urn:twinstream:problem:${code}`,
    title: entry.message.split(/[;:]/, 1)[0] ?? entry.message,
    status: what.status ?? entry.status ?? 500,
    code,
    detail: what.detail ?? entry.message,
    errors: what.errors ?? [],
    request_id: requestId,
  };
}

export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  body: Problem,
): FastifyReply {
  if (body.status === 503) reply.header("retry-after", String(RETRY_AFTER_S));
  return reply
    .code(body.status)
    .header("x-request-id", request.id)
    .type("application/problem+json")
    .send(JSON.stringify(body));
}

/** Whatever a route, the validation or fastify itself threw, as the problem to show. */
export function problemOf(error: unknown, request: FastifyRequest): Problem {
  if (error instanceof TwinstreamError) return ours(error, request.id);
  const thrown = error as ThrownByFastify;
  if (Array.isArray(thrown.validation))
    return problem("BAD_REQUEST", request.id, {
      detail:
        "the request is not of the form this route takes; `errors` names each field and what it may be",
      errors: fieldErrors(thrown.validation, thrown.validationContext ?? ""),
    });
  switch (thrown.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return problem("TOO_LARGE", request.id, {
        detail: `the body is larger than the ${request.routeOptions.bodyLimit} bytes this route takes`,
      });
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return problem("UNSUPPORTED_MEDIA_TYPE", request.id);
    case "FST_ERR_HANDLER_TIMEOUT":
      return problem("TOO_SLOW", request.id);
  }
  const status = thrown.statusCode ?? 500;
  if (status >= 400 && status < 500)
    return problem("BAD_REQUEST", request.id, {
      detail: thrown.message ?? ERRORS.BAD_REQUEST.message,
    });
  return problem("INTERNAL", request.id);
}

interface ThrownByFastify {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message?: string;
  readonly validation?: readonly {
    readonly instancePath: string;
    readonly message?: string;
    readonly params?: Readonly<Record<string, unknown>>;
  }[];
  readonly validationContext?: string;
}

function ours(error: TwinstreamError, requestId: string): Problem {
  if (!("status" in ERRORS[error.code])) return problem("INTERNAL", requestId);
  if ("fields" in error)
    return problem(error.code, requestId, {
      detail: error.message,
      errors: error.fields as readonly FieldError[],
    });
  return problem(error.code, requestId);
}

const PLACES: Readonly<Record<string, string>> = {
  params: "path",
  querystring: "query",
};

function fieldErrors(
  validation: NonNullable<ThrownByFastify["validation"]>,
  context: string,
): FieldError[] {
  const place = PLACES[context] ?? context;
  return validation.map((one) => ({
    path: `${place}${one.instancePath.replaceAll("/", ".")}`,
    reason: one.message ?? "is not valid",
  }));
}
