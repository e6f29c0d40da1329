/** Devices whose actor crashed too often, and letting one back in before its time. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { TOPIC } from "../../domain/names.js";
import { releaseRecord } from "../../domain/quarantine.js";
import { toIso } from "../../domain/time.js";
import type { LetterDesk } from "../../ports.js";
import { userOf } from "../auth/identity.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { inTime } from "../in-time.js";
import { refusal } from "../problems.js";
import { DeviceParams } from "../schemas.js";

/** Milliseconds the log may take to acknowledge a release. */
const APPEND_MS = 10_000;

export function quarantineRoutes(
  deps: GatewayDeps,
  desk: Pick<LetterDesk, "quarantined" | "quarantineOf">,
): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.get(
      "/quarantine",
      {
        schema: { summary: "Devices in quarantine, and until when" },
        config: { access: "operator" },
      },
      async (request) => ({
        devices: (await desk.quarantined(tenantOf(request))).map(
          ({ deviceId, untilMs }) => ({
            device_id: deviceId,
            until: toIso(untilMs * 1000),
          }),
        ),
      }),
    );

    app.post(
      "/devices/:id/release",
      {
        schema: {
          summary: "End a device's quarantine; its lane does it",
          params: DeviceParams,
        },
        config: { act: "quarantine release" },
      },
      async (request, reply) => {
        const tenant = tenantOf(request);
        const { id: deviceId } = request.params;
        const untilMs = await desk.quarantineOf(tenant, deviceId);
        if (untilMs === null)
          throw refusal(
            "DEVICE_UNKNOWN",
            `${deviceId} has never been seen; GET /devices?all=1 lists those that were`,
          );
        if (untilMs === 0)
          return { device_id: deviceId, state: "not quarantined" };
        const by = userOf(request).username;
        const record = releaseRecord({
          tenant,
          deviceId,
          by,
          atMs: deps.clock(),
        });
        await inTime(
          deps.log.append(TOPIC.commands, [record]),
          APPEND_MS,
          "LOG_UNREACHABLE",
        );
        return reply
          .code(202)
          .send({ device_id: deviceId, state: "release accepted" });
      },
    );
  };
}
