/** Log-in, refresh and log-out. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { offerTicket, TICKET_S } from "../auth/tickets.js";
import { accessToken, type AuthDeps } from "../auth/guard.js";
import { userOf } from "../auth/identity.js";
import { ACCESS_S, createSessions, type Opened } from "../auth/sessions.js";
import type { GatewayDeps } from "../deps.js";
import { refusal } from "../problems.js";
import { text } from "../schemas.js";

/** Bytes of a body: two short texts. */
const BODY_LIMIT = 4096;
const LoginBody = Type.Object({
  username: text(128, "as `twinstream users add` was given it"),
  password: text(1024, "the user's password"),
});
const RefreshBody = Type.Object({
  refresh_token: text(256, "the newest of this session"),
});
/** What may be written of a name that was tried: people type passwords into the wrong field. */
const USERNAME = /^[A-Za-z0-9._@-]{1,64}$/;

export function authRoutes(
  deps: GatewayDeps,
  auth: AuthDeps,
): FastifyPluginAsyncTypebox {
  const sessions = createSessions({ ...auth, clock: deps.clock });

  return async (app) => {
    const opened = ({ user, refreshToken }: Opened) => ({
      access_token: accessToken(app, user),
      refresh_token: refreshToken,
      token_type: "Bearer",
      expires_in: ACCESS_S,
    });

    app.post(
      "/auth/login",
      {
        schema: { summary: "Log in", body: LoginBody },
        config: { access: "public", limit: "login", act: "login" },
        bodyLimit: BODY_LIMIT,
      },
      async (request) => {
        const { username, password } = request.body;
        request.audited = {
          user: USERNAME.test(username) ? username : "(no user name)",
          tenant: null,
        };
        const session = await sessions.logIn(username, password);
        request.audited = {
          user: session.user.username,
          tenant: session.user.tenant,
        };
        return opened(session);
      },
    );

    app.post(
      "/auth/refresh",
      {
        schema: {
          summary: "Exchange a refresh token for new tokens, once",
          body: RefreshBody,
        },
        config: { access: "public", limit: "login", act: "refresh" },
        bodyLimit: BODY_LIMIT,
      },
      async (request) => {
        const found = await sessions.refresh(request.body.refresh_token);
        if (found.state !== "unknown")
          request.audited = {
            user: found.user.username,
            tenant: found.user.tenant,
            subject:
              found.state === "reused"
                ? "a spent refresh token came again; its session is ended"
                : found.state,
          };
        if (found.state === "rotated") return opened(found);
        throw refusal(
          "UNAUTHENTICATED",
          "the refresh token is not valid, or not any more; log in again with POST /api/v1/auth/login",
        );
      },
    );

    app.post(
      "/auth/ticket",
      {
        schema: {
          summary: "Get a ticket for a live stream",
          description: `For clients that cannot send an Authorization header, as browsers with EventSource and WebSocket: GET /live?ticket=…, once, within ${TICKET_S} seconds. The stream ends with the access token that the ticket was got with.`,
        },
        config: { access: "viewer", act: "ticket" },
        bodyLimit: BODY_LIMIT,
      },
      async (request) => ({
        ticket: await offerTicket(auth.tickets, {
          ...userOf(request),
          untilMs: request.identityUntilMs,
        }),
        expires_in: TICKET_S,
      }),
    );

    app.post(
      "/auth/logout",
      {
        schema: {
          summary: "End the session of a refresh token",
          body: RefreshBody,
        },
        config: { access: "viewer", act: "logout" },
        bodyLimit: BODY_LIMIT,
      },
      async (request, reply) => {
        const user = userOf(request);
        if (await sessions.logOut(user, request.body.refresh_token))
          return reply.code(204).send();
        throw refusal(
          "UNAUTHENTICATED",
          "this is no refresh token of yours; nothing was ended",
        );
      },
    );
  };
}
