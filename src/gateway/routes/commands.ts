/** Commands: given to a device through the log, canceled, and what became of them. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { hasEnded } from "../../domain/command-life.js";
import { toIso } from "../../domain/time.js";
import { userOf } from "../auth/identity.js";
import {
  CommandBody,
  mustBeJudgeable,
  mustBeStorable,
  operationOf,
} from "../commands/body.js";
import { createGiving, type Known } from "../commands/giving.js";
import { createOutcomes } from "../commands/outcomes.js";
import { shownAccepted, shownRecord } from "../commands/shown.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { presenceOf } from "../presence.js";
import { refusal } from "../problems.js";
import {
  cursor,
  DeviceParams,
  idempotencyKey,
  limit,
  text,
} from "../schemas.js";
import { mustBeKnown } from "./devices.js";
import { traceOf } from "../traces.js";

const COMMANDS_A_PAGE = { usual: 100, most: 1000 };
/** Seconds a request may wait for what becomes of its command. */
const WAIT_MOST_S = 30;
/** Milliseconds for such a route to answer: the wait, and what every other route has. */
const HANDLER_MS = WAIT_MOST_S * 1000 + 20_000;

const CommandParams = Type.Object({
  ...DeviceParams.properties,
  cmd_id: text(128, "as the command's 202 gave it"),
});
const ListQuery = Type.Object({
  limit: limit(1, COMMANDS_A_PAGE.most, COMMANDS_A_PAGE.usual),
  cursor,
});
const WaitQuery = Type.Object({
  wait: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: WAIT_MOST_S,
      description:
        "seconds to wait for the command's end: the answer is the command as it is then",
    }),
  ),
});
const GiveHeaders = Type.Object({
  "idempotency-key": idempotencyKey(
    "the same key within 24 hours is the same command, however often it is sent",
  ),
});

export function commandRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  const giving = createGiving(deps);
  const outcomes = createOutcomes(deps);

  /** The command once it has ended, or as it is after `seconds`; as it was found when nobody is to wait. */
  async function awaited(
    request: FastifyRequest,
    reply: FastifyReply,
    { deviceId, cmdId }: { deviceId: string; cmdId: string },
    found: Known,
    seconds: number,
  ): Promise<Known> {
    if (seconds === 0 || isOver(found)) return found;
    const gone = new AbortController();
    const leave = (): void => gone.abort();
    reply.raw.once("close", leave);
    const tenant = tenantOf(request);
    await outcomes.wait(tenant, cmdId, seconds * 1000, gone.signal);
    reply.raw.off("close", leave);
    return (await giving.find(tenant, deviceId, cmdId)) ?? found;
  }

  return async (app) => {
    // Before the server waits for the requests under way.
    app.addHook("preClose", async () => outcomes.stop());

    app.post(
      "/devices/:id/command",
      {
        schema: {
          summary: "Give the device a command",
          description:
            "202 once the log has it. With `wait`, 200 and the command if it ends in that time, else 202 and the command as it is then.",
          params: DeviceParams,
          querystring: WaitQuery,
          headers: GiveHeaders,
          body: CommandBody,
        },
        handlerTimeout: HANDLER_MS,
        config: { act: "command" },
      },
      async (request, reply) => {
        const { id } = request.params;
        const { body } = request;
        const op = operationOf(body);
        mustBeStorable(body);
        mustBeJudgeable(body);
        const user = userOf(request);
        const given = await giving.give({
          user,
          deviceId: id,
          body,
          op,
          key: request.headers["idempotency-key"] ?? null,
          ...traceOf(request),
          mayBeGiven: async () => {
            if (body.queue !== true) await mustBeOnline(deps, user.tenant, id);
          },
        });
        const { cmdId } = given.record ?? given.accepted;
        const statusUrl = `${pathOf(request).replace(/\/command\/?$/, "/commands")}/${cmdId}`;
        reply.header("location", statusUrl);
        const seconds = request.query.wait ?? 0;
        if (seconds === 0)
          return reply.code(202).send({
            cmd_id: cmdId,
            state: given.record?.state ?? "accepted",
            status_url: statusUrl,
          });
        const which = { deviceId: id, cmdId };
        const known = await awaited(request, reply, which, given, seconds);
        return reply
          .code(isOver(known) ? 200 : 202)
          .send({ ...shown(id, known), status_url: statusUrl });
      },
    );

    app.delete(
      "/devices/:id/commands/:cmd_id",
      {
        schema: {
          summary: "Cancel a command",
          description:
            "202 once the log has the wish; it takes effect unless the command has ended by then. What was sent already may still be executed. 409 for a command that has ended in another way.",
          params: CommandParams,
          querystring: WaitQuery,
        },
        handlerTimeout: HANDLER_MS,
        config: { act: "cancel" },
      },
      async (request, reply) => {
        const { id, cmd_id: cmdId } = request.params;
        const user = userOf(request);
        const found = mustBeFound(
          await giving.find(user.tenant, id, cmdId),
          id,
          cmdId,
        );
        if (found.record?.state === "canceled") return shown(id, found);
        if (isOver(found))
          throw refusal(
            "COMMAND_ENDED",
            `command ${cmdId} is ${found.record?.state}; nothing follows that`,
          );
        await giving.cancel(user, id, cmdId);
        const statusUrl = pathOf(request);
        const seconds = request.query.wait ?? 0;
        const which = { deviceId: id, cmdId };
        const known = await awaited(request, reply, which, found, seconds);
        if (isOver(known)) return shown(id, known);
        return reply.code(202).send({
          cmd_id: cmdId,
          state: known.record?.state ?? "accepted",
          status_url: statusUrl,
        });
      },
    );

    app.get(
      "/devices/:id/commands",
      { schema: { params: DeviceParams, querystring: ListQuery } },
      async (request) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const size = request.query.limit ?? COMMANDS_A_PAGE.usual;
        const found = await deps.records.commands(tenant, id, {
          before: request.query.cursor ?? null,
          limit: size + 1,
        });
        if (found.length === 0) await mustBeKnown(deps, tenant, id);
        const page = found.slice(0, size);
        return {
          device_id: id,
          commands: page.map(shownRecord),
          next: found.length > size ? (page.at(-1)?.cmdId ?? null) : null,
        };
      },
    );

    app.get(
      "/devices/:id/commands/:cmd_id",
      {
        schema: { params: CommandParams, querystring: WaitQuery },
        handlerTimeout: HANDLER_MS,
      },
      async (request, reply) => {
        const { id, cmd_id: cmdId } = request.params;
        const found = mustBeFound(
          await giving.find(tenantOf(request), id, cmdId),
          id,
          cmdId,
        );
        const seconds = request.query.wait ?? 0;
        const which = { deviceId: id, cmdId };
        return shown(id, await awaited(request, reply, which, found, seconds));
      },
    );
  };
}

const shown = (deviceId: string, { record, accepted }: Known) =>
  record === null ? shownAccepted(deviceId, accepted) : shownRecord(record);

const isOver = ({ record }: Known): boolean =>
  record !== null && hasEnded(record.state);

const pathOf = (request: FastifyRequest): string =>
  request.url.split("?", 1)[0]!;

/** @throws COMMAND_UNKNOWN */
function mustBeFound(
  known: Known | null,
  deviceId: string,
  cmdId: string,
): Known {
  if (known !== null) return known;
  throw refusal(
    "COMMAND_UNKNOWN",
    `no command ${cmdId} was given to ${deviceId}; GET /devices/${deviceId}/commands lists those that were`,
  );
}

/** @throws DEVICE_OFFLINE */
async function mustBeOnline(
  deps: GatewayDeps,
  tenant: string,
  deviceId: string,
): Promise<void> {
  const { online, lastSeenUs } = await presenceOf(deps, tenant, deviceId);
  if (online) return;
  const since =
    lastSeenUs === null
      ? "has never been seen"
      : `was last seen ${toIso(lastSeenUs)}`;
  throw refusal(
    "DEVICE_OFFLINE",
    `${deviceId} ${since}; send the command again when it is online, or with "queue": true to have it wait`,
  );
}
