/**
 * What every request passes before its route: the limit of its address, who it is, whether that role may, the limit of its
 * user. A route that says nothing of itself is closed: GET needs a viewer, everything else an operator.
 */
import fastifyJwt from "@fastify/jwt";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { isSegment } from "../../domain/names.js";
import type {
  AccountStore,
  TicketStore,
  TokenStore,
  User,
} from "../../ports.js";
import type { GatewayDeps } from "../deps.js";
import { DOCS } from "../docs.js";
import { refusal } from "../problems.js";
import { type Access, isRole, mayUse, NOBODY } from "./identity.js";
import {
  createKnownTokens,
  type KnownToken,
  type KnownTokens,
} from "./known-tokens.js";
import { createLimiters, type Limiters, registerLimits } from "./limits.js";
import type { Passwords } from "./passwords.js";
import { ACCESS_S } from "./sessions.js";
import { takeTicket } from "./tickets.js";

export interface AuthDeps {
  readonly accounts: AccountStore;
  readonly tokens: TokenStore;
  readonly tickets: TicketStore;
  readonly passwords: Passwords;
  /** JWT_SECRET. */
  readonly secret: string;
  readonly production: boolean;
}

const ISSUER = "twinstream";
const AUDIENCE = "twinstream-gateway";
/** Milliseconds by which the clocks of gateways may differ. */
const LEEWAY_MS = 5000;
const READING = new Set(["GET", "HEAD"]);

/** Before any route is registered. */
export function guard(app: FastifyInstance, deps: GatewayDeps): void {
  app.decorateRequest("identity", null);
  app.decorateRequest("identityUntilMs", Number.POSITIVE_INFINITY);
  app.decorateRequest("audited", null);
  app.addHook("onRoute", (route) => {
    route.config = {
      ...route.config,
      // A browser opens the page of the document before it has a token, and there is nothing of a tenant in it.
      access: isUnder(DOCS, route.url)
        ? "public"
        : accessOf(route.config?.access, String(route.method)),
    };
  });
  if (deps.auth !== undefined)
    app.register(fastifyJwt, {
      secret: deps.auth.secret,
      sign: {
        algorithm: "HS256",
        iss: ISSUER,
        aud: AUDIENCE,
        expiresIn: ACCESS_S,
      },
      verify: {
        // Pinned: a token says itself how it is signed, `none` and a public key's algorithms among it.
        algorithms: ["HS256"],
        allowedIss: ISSUER,
        allowedAud: AUDIENCE,
        requiredClaims: ["exp", "iat", "sub", "tenant", "role"],
        clockTolerance: LEEWAY_MS,
      },
    });
  const { limits } = deps;
  if (limits !== undefined) registerLimits(app, { ...deps, limits });
  app.after(() => {
    const limiters =
      limits === undefined ? null : createLimiters(app, { ...deps, limits });
    const { auth } = deps;
    const proofs =
      auth === undefined
        ? null
        : { known: createKnownTokens(), tickets: auth.tickets };
    app.addHook("onRequest", (request, reply) =>
      admit(request, reply, proofs, limiters),
    );
  });
}

/** An access token for this user. */
export function accessToken(app: FastifyInstance, user: User): string {
  return app.jwt.sign({
    sub: user.username,
    tenant: user.tenant,
    role: user.role,
  });
}

const isUnder = (prefix: string, url: string): boolean =>
  url === prefix || url.startsWith(`${prefix}/`);

function accessOf(given: Access | undefined, method: string): Access {
  if (given !== undefined) return given;
  return READING.has(method.toUpperCase()) ? "viewer" : "operator";
}

/** What shows who somebody is. */
interface Proofs {
  readonly known: KnownTokens;
  readonly tickets: TicketStore;
}

/** @param proofs null without log-in */
async function admit(
  request: FastifyRequest,
  reply: FastifyReply,
  proofs: Proofs | null,
  limiters: Limiters | null,
): Promise<void> {
  const { access, limit } = request.routeOptions.config;
  if (limit !== "none") await limiters?.ip(request, reply);
  if (limit === "login") await limiters?.login(request, reply);
  if (proofs === null) {
    request.identity = NOBODY;
    return;
  }
  if (request.is404 || access === "public") return;
  try {
    const { user, untilMs } =
      (await byTicket(request, proofs.tickets)) ??
      (await byToken(request, proofs.known));
    request.identity = user;
    request.identityUntilMs = untilMs;
  } catch (error) {
    reply.header("www-authenticate", "Bearer");
    throw error;
  }
  await limiters?.user(request, reply);
  if (!mayUse(request.identity.role, access ?? "admin"))
    throw refusal(
      "FORBIDDEN",
      `this needs the role ${access}; ${request.identity.username} is ${request.identity.role}`,
    );
}

/** Null for a request that brings no ticket, or to a route that takes none. @throws UNAUTHENTICATED */
async function byTicket(
  request: FastifyRequest,
  tickets: TicketStore,
): Promise<KnownToken | null> {
  if (request.routeOptions.config.ticket !== true) return null;
  const { ticket } = request.query as { ticket?: unknown };
  if (ticket === undefined || request.headers.authorization !== undefined)
    return null;
  const holder =
    typeof ticket === "string" ? await takeTicket(tickets, ticket) : null;
  if (holder === null)
    throw refusal(
      "UNAUTHENTICATED",
      "the ticket is none, was used before, or is too old; POST /api/v1/auth/ticket gives a new one",
    );
  const { untilMs, ...user } = holder;
  return { user, untilMs };
}

/** @throws UNAUTHENTICATED */
async function byToken(
  request: FastifyRequest,
  known: KnownTokens,
): Promise<KnownToken> {
  const header = request.headers.authorization ?? "";
  const before = known.find(header);
  if (before !== null) return before;
  let claims: Record<string, unknown>;
  try {
    claims = await request.jwtVerify<Record<string, unknown>>();
  } catch (error) {
    throw refusal(
      "UNAUTHENTICATED",
      WHY[(error as { code?: string }).code ?? ""] ??
        "the access token is not a valid one; log in again with POST /api/v1/auth/login",
    );
  }
  const { sub, tenant, role, exp } = claims;
  if (
    typeof sub === "string" &&
    typeof tenant === "string" &&
    isSegment(tenant) &&
    isRole(role)
  ) {
    const user: User = { username: sub, tenant, role };
    const untilMs = Number(exp) * 1000 + LEEWAY_MS;
    known.add(header, user, untilMs);
    return { user, untilMs };
  }
  throw refusal(
    "UNAUTHENTICATED",
    "the access token lacks what this version needs of it; log in again with POST /api/v1/auth/login",
  );
}

const WHY: Readonly<Record<string, string>> = {
  FST_JWT_NO_AUTHORIZATION_IN_HEADER:
    "there is no access token; send Authorization: Bearer … with one of POST /api/v1/auth/login",
  FST_JWT_AUTHORIZATION_TOKEN_EXPIRED:
    "the access token has expired; POST /api/v1/auth/refresh gives a new one",
};
