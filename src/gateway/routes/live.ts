/** Live updates: one address, as Server-Sent Events and as a WebSocket. */
import websocket from "@fastify/websocket";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { isSegment } from "../../domain/names.js";
import type { LiveFeed } from "../../ports.js";
import { userOf } from "../auth/identity.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { createLiveHub, type Seat } from "../live/hub.js";
import { createPlaces, type PlaceRules } from "../live/places.js";
import { createSseSink, createWebSocketSink } from "../live/sink.js";
import { refusal } from "../problems.js";

export interface LiveDeps {
  readonly feed: LiveFeed;
  readonly places: PlaceRules;
  readonly bufferBytes: number;
  readonly stuckS: number;
  /** Milliseconds between two beats; 15,000 without it. */
  readonly beatMs?: number;
}

/** Devices of one stream by name; who wants more watches the whole tenant. */
const MOST_DEVICES = 200;
/** Bytes of what a WebSocket's client may say: nothing that it says is asked for. */
const MOST_HEARD = 1024;

const LiveQuery = Type.Object({
  device: Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.String())], {
      description:
        "a device id; may be given several times; all of the tenant's devices without it",
    }),
  ),
  last_event_id: Type.Optional(
    Type.String({
      maxLength: 32,
      description:
        "id of the last `update` that the client had, for a WebSocket; an EventSource sends it as Last-Event-ID by itself",
    }),
  ),
  ticket: Type.Optional(
    Type.String({
      maxLength: 64,
      description:
        "of POST /api/v1/auth/ticket, for clients that cannot send an Authorization header",
    }),
  ),
});

const DESCRIPTION = `Server-Sent Events, or a WebSocket for a client that asks for one (JSON text frames \`{"type","id","message"}\`, where \`type\` is the event and \`message\` its data). Events:
\`ready\` {"resumed","complete"}, first: how many missed messages follow, and whether these are all;
\`update\`: a device's message as it is published, its id the reading's time;
\`presence\` {"device_id","online","cause","last_seen"};
\`conflated\` {"skipped","left_out"}: the client took messages too slowly, and that many were left out; newer ones of the same devices were sent in their place, but for \`left_out\`;
\`gap\` {"from","to"}: messages of that time may be missing, and the last states of devices follow;
\`end\` {"reason"}: \`token_expired\` (get a new ticket and go on), \`going_away\` (connect again).
A client that comes back with the last id gets what it missed out of the history: messages whose time is later, of at most 1,000 devices, 10,000 messages and 8 MiB.`;

export function liveRoutes(
  deps: GatewayDeps,
  live: LiveDeps,
): FastifyPluginAsyncTypebox {
  const hub = createLiveHub({
    ...live,
    view: deps.view,
    observer: deps.observer,
    clock: deps.clock,
    historyHours: deps.settings.historyHours,
  });
  const places = createPlaces(live.places);
  /** Of requests that are let in, until they are answered. */
  const seats = new WeakMap<FastifyRequest, Seat>();

  /** Everything that may be refused, before the first byte of the stream. */
  async function letIn(
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    if (request.ws) mustBeOurPage(deps, request);
    const devices = devicesOf(request);
    lastIdOf(request);
    const release = places.take(userOf(request).username, request.ip);
    let seat: Seat | null = null;
    let gone = false;
    // A WebSocket's answer is over once it is upgraded; a response's connection may live on.
    (request.ws ? request.raw.socket : reply.raw).once("close", () => {
      gone = true;
      release();
      seat?.leave();
    });
    seat = await hub.enter(
      { tenant: tenantOf(request), devices },
      request.identityUntilMs,
    );
    if (gone) seat.leave();
    seats.set(request, seat);
  }

  return async (app) => {
    app.addHook("preClose", async () => hub.close());
    app.route({
      method: "GET",
      url: "/live",
      // The stream of a HEAD would have no end and no body.
      exposeHeadRoute: false,
      schema: {
        summary: "Device updates as they happen",
        description: DESCRIPTION,
        querystring: LiveQuery,
      },
      config: { access: "viewer", ticket: true },
      preHandler: letIn,
      handler: (request, reply) => {
        const seat = seats.get(request)!;
        void seat.attach(createSseSink(reply), lastIdOf(request));
      },
      wsHandler: (webSocket, request) => {
        const sink = createWebSocketSink(webSocket, request.raw.socket);
        void seats.get(request)!.attach(sink, lastIdOf(request));
      },
    });
  };
}

/** Upgrades, before any route is registered. */
export function takeWebSockets(app: FastifyInstance): void {
  app.register(websocket, {
    options: {
      maxPayload: MOST_HEARD,
      perMessageDeflate: false,
      clientTracking: false,
    },
    // The hub has told them by then.
    preClose: (done) => done(),
    errorHandler: (_error, webSocket) => webSocket.terminate(),
  });
}

/** @throws BAD_REQUEST */
function devicesOf(request: FastifyRequest): string[] {
  const { device = [] } = request.query as { device?: string | string[] };
  const devices = [...new Set([device].flat())];
  if (devices.length > MOST_DEVICES)
    throw badQuery("device", `at most ${MOST_DEVICES}; none for all`);
  if (!devices.every(isSegment))
    throw badQuery("device", "must be 1 to 128 characters of [A-Za-z0-9._:-]");
  return devices;
}

/** Unix seconds; null for a client that comes for the first time. @throws BAD_REQUEST */
function lastIdOf(request: FastifyRequest): number | null {
  const header = request.headers["last-event-id"];
  // The header is the newer one: an EventSource that comes back still has the address it began with.
  const text =
    header ?? (request.query as { last_event_id?: string }).last_event_id;
  if (text === undefined || text === "") return null;
  if (typeof text === "string" && /^\d{1,12}(\.\d{1,9})?$/.test(text))
    return Number(text);
  throw badQuery("last_event_id", "must be the id of an `update`");
}

const badQuery = (name: string, reason: string) =>
  refusal("BAD_REQUEST", `${name} is not of the form this route takes`, [
    { path: `query.${name}`, reason },
  ]);

/**
 * Without log-in any page that the browser has open could connect: browsers let WebSockets go wherever they like, and only
 * say whose page it was.
 * @throws FORBIDDEN
 */
function mustBeOurPage(
  { auth, settings }: GatewayDeps,
  request: FastifyRequest,
): void {
  const { origin } = request.headers;
  if (auth !== undefined || origin === undefined) return;
  const ours = URL.canParse(origin) && new URL(origin).host === request.host;
  if (!ours && settings.corsOrigins?.includes(origin) !== true)
    throw refusal(
      "FORBIDDEN",
      `pages of ${origin} may not connect; CORS_ORIGINS says whose may`,
    );
}
