/** The routes as an OpenAPI 3.1 document, made from their own schemas, at /docs/json, and as a page at /docs. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance, FastifySchema, RouteOptions } from "fastify";
import { Type } from "typebox";
import type { Access } from "./auth/identity.js";

export const DOCS = "/docs";

/** As problems.ts writes it. */
const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: "stable; what programs go by" }),
    detail: Type.String({ description: "what was wrong, and what to do" }),
    errors: Type.Array(
      Type.Object({ path: Type.String(), reason: Type.String() }),
    ),
    request_id: Type.String(),
  },
  { description: "RFC 9457 problem details" },
);

/** The page's scripts and styles are its own files; it sets styles from scripts. */
const PAGE_POLICY = {
  "default-src": ["'self'"],
  "img-src": ["'self'", "data:"],
  "style-src": ["'self'", "'unsafe-inline'"],
  "object-src": ["'none'"],
  "frame-ancestors": ["'none'"],
};

/** Before any route is registered. */
export function document(app: FastifyInstance, authOn: boolean): void {
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "twinstream",
        version: "0.1.0",
        description:
          "Devices, their last states, histories and commands, uploads and analytics. Every error is RFC 9457 problem JSON with a stable code.",
      },
      components: {
        securitySchemes: {
          bearer: {
            type: "http",
            scheme: "bearer",
            bearerFormat: "JWT",
            description: "the access_token of POST /api/v1/auth/login",
          },
        },
      },
    },
    transform: ({ schema, url, route }) => ({
      schema: described(schema, route, authOn),
      url,
    }),
  });
  app.register(swaggerUi, {
    routePrefix: DOCS,
    staticCSP: PAGE_POLICY,
    uiConfig: { validatorUrl: "", persistAuthorization: false },
  });
}

/**
 * A route's schema with what is the same for all: who may, and how errors look. Only the document has these answers: as a
 * route's own `response` they would be compiled, and every answer written anew by them.
 */
function described(
  schema: FastifySchema | undefined,
  route: RouteOptions,
  authOn: boolean,
): FastifySchema {
  const access: Access = route.config?.access ?? "admin";
  const open = access === "public" || !authOn;
  return {
    ...schema,
    tags: schema?.tags ?? [tagOf(route.url)],
    description: [
      schema?.description,
      open ? "Open to all." : `Needs the role ${access} or a higher one.`,
    ]
      .filter((part) => part !== undefined)
      .join(" "),
    security: open ? [] : [{ bearer: [] }],
    response: schema?.response ?? {
      "2xx": { description: "as asked" },
      default: {
        description: "an error",
        content: { "application/problem+json": { schema: Problem } },
      },
    },
  };
}

/** The first part of the address below the version. */
function tagOf(url: string): string {
  return url.replace(/^\/api\/v1/, "").split("/")[1] ?? "";
}
