/** What a device logs in to the broker with: made, replaced, listed, ended. A password is answered once and kept nowhere. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { type TSchema, Type } from "typebox";
import { toIso } from "../../domain/time.js";
import type {
  Credential,
  CredentialDesk,
  IssuedCredential,
} from "../../ports.js";
import { userOf } from "../auth/identity.js";
import { tenantOf } from "../deps.js";
import { DeviceParams, text } from "../schemas.js";

const AddBody = Type.Object({
  site: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9._:-]{1,128}$",
      description:
        "where the device is; every tenant's but default has it in its topics",
    }),
  ),
  rotates_itself: Type.Optional(
    Type.Boolean({
      description: "the device knows the command rotate_credentials",
    }),
  ),
});
const RotateBody = Type.Object({
  overlap_hours: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 8760,
      description:
        "hours for which the earlier password goes on working; MQTT_PASSWORD_OVERLAP_HOURS when not given",
    }),
  ),
});
const EndQuery = Type.Object({
  username: Type.Optional(
    text(300, "this one alone; all of the device's when not given"),
  ),
});
/** A request without a body has a null one. */
const orNothing = <T extends TSchema>(body: T) =>
  Type.Union([body, Type.Null()]);
const HOUR_MS = 3_600_000;

/** Operators and admins, each for the devices of their own tenant. */
export function credentialRoutes(
  desk: CredentialDesk,
): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      "/devices/:id/credentials",
      {
        schema: {
          summary: "The device's user names at the MQTT broker",
          params: DeviceParams,
        },
        config: { access: "operator" },
      },
      async (request) => {
        const { id } = request.params;
        const found = await desk.find({
          tenant: tenantOf(request),
          deviceIds: [id],
        });
        return { device_id: id, credentials: found.map(shown) };
      },
    );

    app.post(
      "/devices/:id/credentials",
      {
        schema: {
          summary:
            "Give the device a user name and password; the password is shown this once",
          params: DeviceParams,
          body: orNothing(AddBody),
        },
        config: { act: "credentials add" },
      },
      async (request, reply) => {
        const { site = null, rotates_itself: handsOver = false } =
          request.body ?? {};
        const [issued] = await desk.add([
          {
            tenant: tenantOf(request),
            deviceId: request.params.id,
            site,
            handsOver,
            by: userOf(request).username,
          },
        ]);
        return reply.code(201).send(shownOnce(issued!));
      },
    );

    app.post(
      "/devices/:id/credentials/rotate",
      {
        schema: {
          summary:
            "Give the device a second user name and password; the first works on for the overlap",
          params: DeviceParams,
          body: orNothing(RotateBody),
        },
        config: { act: "credentials rotate" },
      },
      async (request, reply) => {
        const { overlap_hours: hours } = request.body ?? {};
        const issued = await desk.rotate(
          tenantOf(request),
          request.params.id,
          userOf(request).username,
          hours === undefined ? undefined : hours * HOUR_MS,
        );
        return reply.code(201).send(shownOnce(issued));
      },
    );

    app.delete(
      "/devices/:id/credentials",
      {
        schema: {
          summary:
            "End the device's user names, or one, and the live sessions that use them",
          params: DeviceParams,
          querystring: EndQuery,
        },
        config: { act: "credentials revoke" },
      },
      async (request) => {
        const { id } = request.params;
        const revoked = await desk.revoke(
          tenantOf(request),
          id,
          request.query.username ?? null,
          userOf(request).username,
        );
        return { device_id: id, revoked };
      },
    );
  };
}

const iso = (ms: number | null): string | null =>
  ms === null ? null : toIso(ms * 1000);

const shown = (one: Credential) => ({
  username: one.username,
  state: one.state,
  site: one.site,
  created_at: iso(one.createdMs),
  created_by: one.createdBy,
  expires_at: iso(one.expiresMs),
  ends_at: iso(one.endsMs),
  rotates_itself: one.handsOver,
});

const shownOnce = (issued: IssuedCredential) => ({
  device_id: issued.deviceId,
  username: issued.username,
  client_id: issued.clientId,
  password: issued.password,
  expires_at: iso(issued.expiresMs),
});
