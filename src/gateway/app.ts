/** The gateway put together, not listening: `buildGateway` is all that a test or the composition root needs. */
import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import cors from "@fastify/cors";
import {
  type TypeBoxTypeProvider,
  TypeBoxValidatorCompiler,
} from "@fastify/type-provider-typebox";
import fastify, {
  type FastifyInstance,
  type FastifyRequest,
  type HTTPMethods,
} from "fastify";
import { reasonOf } from "../errors.js";
import { audit } from "./audit.js";
import { guard } from "./auth/guard.js";
import type { GatewayDeps } from "./deps.js";
import { DOCS, document } from "./docs.js";
import { problem, problemOf, refusal, sendProblem } from "./problems.js";
import { adapterRoutes } from "./routes/adapters.js";
import { analyticsRoutes } from "./routes/analytics.js";
import { authRoutes } from "./routes/auth.js";
import { bulkRoutes } from "./routes/bulk.js";
import { commandRoutes } from "./routes/commands.js";
import { credentialRoutes } from "./routes/credentials.js";
import { deadLetterRoutes } from "./routes/dead-letters.js";
import { deviceRoutes } from "./routes/devices.js";
import { eventRoutes } from "./routes/events.js";
import { explainRoutes } from "./routes/explain.js";
import { fleetRoutes } from "./routes/fleet.js";
import { healthRoutes } from "./routes/health.js";
import { ingestTestRoutes } from "./routes/ingest-test.js";
import { liveRoutes, takeWebSockets } from "./routes/live.js";
import { pageRoutes } from "./routes/page.js";
import { quarantineRoutes } from "./routes/quarantine.js";
import { countRequests } from "./request-count.js";
import { secureHeaders } from "./secure-headers.js";
import { cutSlowBodies } from "./slow-bodies.js";
import { traceRequests } from "./traces.js";

/** Bytes of a request's body. */
const BODY_LIMIT = 1024 * 1024;
/** Milliseconds for a request's head to arrive. Its body may take as long as it needs: see slow-bodies.ts. */
const HEAD_MS = 10_000;
/** Milliseconds between looks at heads that are late; Node's own default is half a minute. */
const HEAD_LOOK_MS = 1000;
/** Milliseconds for a route to answer; the stores' own deadlines are shorter. */
const HANDLER_MS = 20_000;
/** Milliseconds a socket may be silent. */
const CONNECTION_MS = 120_000;
/** An id of 128 characters, each percent-encoded. */
const PARAM_CHARACTERS = 3 * 128;
/** Seconds a browser may go by an answer to its preflight. */
const CORS_MAX_AGE_S = 600;
const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const METHODS: readonly HTTPMethods[] = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
];

/** Routes stand under `/` and under `/api/v1/`, the web page at `/` and under `/ui/`. */
export function buildGateway(deps: GatewayDeps): FastifyInstance {
  const { settings } = deps;
  const server = {
    headersTimeout: HEAD_MS,
    connectionsCheckingInterval: HEAD_LOOK_MS,
  };
  // fastify types an HTTPS server as another kind of instance; nothing here or above tells them apart.
  const app = fastify({
    ...(settings.tls === undefined
      ? { http: server }
      : { https: { ...server, ...settings.tls } }),
    // An address list, never `true`: X-Forwarded-For is what anyone writes into it.
    trustProxy: settings.trustProxy ?? false,
    bodyLimit: BODY_LIMIT,
    requestTimeout: 0,
    handlerTimeout: HANDLER_MS,
    connectionTimeout: CONNECTION_MS,
    forceCloseConnections: true,
    // What is under way while closing is answered; the stores are closed after the server.
    return503OnClosing: false,
    routerOptions: { maxParamLength: PARAM_CHARACTERS },
    requestIdHeader: false,
    genReqId: (raw) => {
      const given = raw.headers["x-request-id"];
      return typeof given === "string" && REQUEST_ID.test(given)
        ? given
        : randomUUID();
    },
    frameworkErrors: (error, request, reply) => {
      void sendProblem(request, reply, problemOf(error, request));
    },
    clientErrorHandler: answerBrokenRequest,
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as FastifyInstance;
  app.setValidatorCompiler(TypeBoxValidatorCompiler);

  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
  });
  app.setErrorHandler((error, request, reply) => {
    const shown = problemOf(error, request);
    if (shown.status >= 500) report(deps, error, request, shown.code);
    return sendProblem(request, reply, shown);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      request,
      reply,
      problem("NOT_FOUND", request.id, {
        detail: `there is nothing at ${request.method} ${request.url.split("?", 1)[0]}`,
      }),
    ),
  );

  const methods = collectMethods(app);
  secureHeaders(
    app,
    settings.tls !== undefined || settings.trustProxy !== undefined,
  );
  allowOrigins(app, deps);
  cutSlowBodies(app, answerBrokenRequest);
  audit(app, deps.observer);
  // Before the guard: of who is refused there, too, it closes the connection.
  if (deps.live !== undefined) takeWebSockets(app);
  countRequests(app, deps.observer);
  traceRequests(app, deps.tracer);
  guard(app, deps);
  if (settings.docs === true) document(app, deps.auth !== undefined);
  // Made once and registered under both: their state (the last command id, what is on its way) is one.
  const all = [deviceRoutes(deps), eventRoutes(deps), commandRoutes(deps)];
  all.push(healthRoutes(deps));
  if (deps.fleet !== undefined) all.push(fleetRoutes(deps, deps.fleet));
  if (deps.auth !== undefined) all.push(authRoutes(deps, deps.auth));
  all.push(analyticsRoutes(deps), ingestTestRoutes(deps), adapterRoutes(deps));
  if (deps.credentials !== undefined)
    all.push(credentialRoutes(deps.credentials));
  if (deps.live !== undefined) all.push(liveRoutes(deps, deps.live));
  if (deps.explain !== undefined) all.push(explainRoutes(deps, deps.explain));
  if (deps.letters !== undefined)
    all.push(
      deadLetterRoutes(deps, deps.letters),
      quarantineRoutes(deps, deps.letters.desk),
    );
  if (deps.uploads !== undefined) all.push(bulkRoutes(deps, deps.uploads));
  for (const prefix of ["", "/api/v1"])
    for (const routes of all) app.register(routes, { prefix });
  if (deps.page !== undefined)
    app.register(
      pageRoutes(deps.page, {
        auth: deps.auth === undefined ? "off" : "on",
        history_hours: settings.historyHours,
        offline_timeout_s: settings.offlineTimeoutS,
        raw_retention_days: settings.rawRetentionDays,
      }),
    );
  app.register(async (inner) => refuseOtherMethods(inner, methods()));
  return app;
}

/** Who else's pages may read our answers. */
function allowOrigins(app: FastifyInstance, { settings }: GatewayDeps): void {
  if (settings.corsOrigins !== undefined)
    app.register(cors, {
      origin: [...settings.corsOrigins],
      methods: [...METHODS],
      allowedHeaders: [
        "authorization",
        "content-type",
        "content-encoding",
        "idempotency-key",
        "last-event-id",
        "x-request-id",
      ],
      exposedHeaders: [
        "location",
        "retry-after",
        "x-request-id",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
      ],
      maxAge: CORS_MAX_AGE_S,
    });
}

/** Which methods each address takes, asked for once all routes are there. */
function collectMethods(app: FastifyInstance): () => Map<string, string[]> {
  const taken = new Map<string, string[]>();
  let asked = false;
  app.addHook("onRoute", ({ url, method }) => {
    const ours = url !== "*" && !url.startsWith(DOCS);
    if (!asked && ours)
      taken.set(url, [...(taken.get(url) ?? []), method].flat());
  });
  return () => {
    asked = true;
    return taken;
  };
}

function refuseOtherMethods(
  app: FastifyInstance,
  taken: ReadonlyMap<string, readonly string[]>,
): void {
  for (const [url, methods] of taken) {
    const allow = [...new Set(methods)].toSorted().join(", ");
    app.route({
      method: METHODS.filter((method) => !methods.includes(method)),
      url,
      schema: { hide: true },
      config: { access: "public" },
      // Before the body is read: what it holds does not matter.
      onRequest: async (request, reply) => {
        reply.header("allow", allow);
        throw refusal(
          "METHOD_NOT_ALLOWED",
          `${request.method} is not taken here; use ${allow}`,
        );
      },
      handler: async () => undefined,
    });
  }
}

/** A failure on our side, for the log. One that is a bug names its request, as the answer does. */
function report(
  deps: GatewayDeps,
  error: unknown,
  request: FastifyRequest,
  code: string,
): void {
  const text = error instanceof Error ? (error.stack ?? "") : "";
  const cause = error instanceof Error ? error.cause : undefined;
  deps.observer.emit({
    type: "failure",
    where: `gateway ${request.method} ${request.routeOptions.url ?? "?"}`,
    error:
      code === "INTERNAL"
        ? `request ${request.id}: ${text || reasonOf(error)}`
        : `${code}: ${reasonOf(cause ?? error)}`,
  });
}

/** What is not HTTP, or came too slowly or with too large a head, never becomes a request; it gets the same kind of answer. */
function answerBrokenRequest(
  error: Error & { code?: string },
  socket: import("node:stream").Duplex,
): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  const status =
    { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_HEADER_OVERFLOW: 431 }[
      error.code ?? ""
    ] ?? 400;
  const body = JSON.stringify(
    problem("BAD_REQUEST", randomUUID(), {
      status,
      detail:
        "the request could not be read as HTTP, was too slow, or its head was too large",
    }),
  );
  if (socket.writable)
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  socket.destroy(error);
}
