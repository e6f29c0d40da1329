/** Commands: given to a device through the log, and what became of them. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { monotonicFactory } from "ulid";
import { address, TOPIC } from "../../domain/names.js";
import { toIso } from "../../domain/time.js";
import { reasonOf, TwinstreamError } from "../../errors.js";
import type {
  AcceptedCommand,
  CommandRecord,
  OutgoingRecord,
  User,
} from "../../ports.js";
import { NOBODY, userOf } from "../auth/identity.js";
import {
  CommandBody,
  extraOf,
  mustBeStorable,
  mustBeUnconditional,
  operationOf,
  USUAL_TTL_S,
} from "../command-body.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { inTime } from "../in-time.js";
import { presenceOf } from "../presence.js";
import { refusal } from "../problems.js";
import { cursor, DeviceParams, limit, text } from "../schemas.js";
import { mustBeKnown } from "./devices.js";

/** Milliseconds the log may take to acknowledge a command; less than the gateway waits for a route. */
const APPEND_MS = 10_000;
/** Commands on their way to the log at most: while it is away they would pile up. */
const MOST_WAITING = 256;
const COMMANDS_A_PAGE = { usual: 100, most: 1000 };

const CommandParams = Type.Object({
  ...DeviceParams.properties,
  cmd_id: text(128, "as the command's 202 gave it"),
});
const ListQuery = Type.Object({
  limit: limit(1, COMMANDS_A_PAGE.most, COMMANDS_A_PAGE.usual),
  cursor,
});

export function commandRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  const nextId = monotonicFactory();
  /** Commands on their way to the log. */
  let waiting = 0;

  /** Puts the command on the log; what it resolves with is acknowledged there. */
  async function accept(
    user: User,
    deviceId: string,
    body: CommandBody,
    op: string,
  ): Promise<AcceptedCommand> {
    const createdMs = deps.clock();
    const ttlMs = (body.ttl_s ?? USUAL_TTL_S) * 1000;
    const command: AcceptedCommand = {
      cmdId: nextId(createdMs),
      op,
      params: body.params ?? {},
      createdMs,
      expiresMs: createdMs + ttlMs,
    };
    const { tenant } = user;
    const value = {
      kind: "command",
      tenant,
      device_id: deviceId,
      cmd_id: command.cmdId,
      op,
      params: command.params,
      // Who gives it is who logged in; only without a log-in may a body say.
      by: user === NOBODY ? (body.by ?? user.username) : user.username,
      ts: iso(createdMs),
      expires_at: iso(command.expiresMs),
      queue: body.queue ?? false,
      supersedes: null,
      precondition: null,
      extra: extraOf(body),
    };
    await append(command.cmdId, {
      key: address(tenant, deviceId),
      value: Buffer.from(JSON.stringify(value)),
    });
    return command;
  }

  async function append(cmdId: string, record: OutgoingRecord): Promise<void> {
    if (waiting >= MOST_WAITING)
      throw refusal(
        "LOG_UNREACHABLE",
        "the log does not answer and many commands wait for it already; this one was not taken, give it again later",
      );
    waiting += 1;
    const appended = deps.log
      .append(TOPIC.commands, [record])
      .finally(() => (waiting -= 1));
    try {
      await inTime(appended, APPEND_MS, "LOG_UNREACHABLE");
    } catch (error) {
      if (!(error instanceof TwinstreamError) || !error.canRetry) throw error;
      throw refusal(
        error.code,
        `the log did not acknowledge the command, and it may or may not have been taken: look for ${cmdId} among the device's commands before giving it again`,
        [],
        { cause: error },
      );
    }
  }

  /** Accepted it is already; without this, its state is unknown until its row is there, some milliseconds later. */
  async function remember(at: string, command: AcceptedCommand): Promise<void> {
    try {
      await deps.view.rememberCommand(at, command);
    } catch (error) {
      deps.observer.emit({
        type: "failure",
        where: "gateway: remembering an accepted command",
        error: reasonOf(error),
      });
    }
  }

  return async (app) => {
    app.post(
      "/devices/:id/command",
      {
        schema: {
          summary: "Give the device a command",
          params: DeviceParams,
          body: CommandBody,
        },
        config: { act: "command" },
      },
      async (request, reply) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const { body } = request;
        const op = operationOf(body);
        mustBeStorable(body);
        mustBeUnconditional(body);
        if (body.queue !== true) await mustBeOnline(deps, tenant, id);
        const command = await accept(userOf(request), id, body, op);
        await remember(address(tenant, id), command);
        deps.observer.emit({ type: "command", state: "accepted", count: 1 });
        const statusUrl = `${request.url.split("?", 1)[0]?.replace(/\/command\/?$/, "/commands")}/${command.cmdId}`;
        return reply.code(202).header("location", statusUrl).send({
          cmd_id: command.cmdId,
          state: "accepted",
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
      { schema: { params: CommandParams } },
      async (request) => {
        const tenant = tenantOf(request);
        const { id, cmd_id: cmdId } = request.params;
        const record = await deps.records.command(tenant, id, cmdId);
        if (record !== null) return shownRecord(record);
        const accepted = await deps.view.acceptedCommand(
          address(tenant, id),
          cmdId,
        );
        if (accepted !== null) return shownAccepted(id, accepted);
        throw refusal(
          "COMMAND_UNKNOWN",
          `no command ${cmdId} was given to ${id}; GET /devices/${id}/commands lists those that were`,
        );
      },
    );
  };
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

function shownRecord(record: CommandRecord) {
  return {
    cmd_id: record.cmdId,
    device_id: record.deviceId,
    op: record.op,
    params: record.params,
    state: record.state,
    ok: record.ok,
    err: record.err,
    history: record.history,
    by: record.by,
    created_at: toIso(record.createdUs),
    expires_at: toIso(record.expiresUs),
  };
}

/** The log has it, the database not yet. */
function shownAccepted(deviceId: string, command: AcceptedCommand) {
  return {
    cmd_id: command.cmdId,
    device_id: deviceId,
    op: command.op,
    params: command.params,
    state: "accepted",
    ok: null,
    err: null,
    history: [
      { state: "accepted", at: iso(command.createdMs), evidence: "log" },
    ],
    created_at: iso(command.createdMs),
    expires_at: iso(command.expiresMs),
  };
}

const iso = (ms: number): string => toIso(ms * 1000);
