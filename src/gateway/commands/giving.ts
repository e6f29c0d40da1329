/**
 * Commands and cancellations on their way to the log. A command given under an idempotency key is one command however often
 * the request comes: its id is kept under the key before it goes to the log, and one that may or may not have got there goes
 * again under the same id, which the flush takes once.
 */
import { hash } from "node:crypto";
import { monotonicFactory } from "ulid";
import { address, TOPIC } from "../../domain/names.js";
import { reasonOf, TwinstreamError } from "../../errors.js";
import type {
  AcceptedCommand,
  CommandRecord,
  KeyedCommand,
  User,
} from "../../ports.js";
import { NOBODY } from "../auth/identity.js";
import type { GatewayDeps } from "../deps.js";
import { inTime } from "../in-time.js";
import { refusal } from "../problems.js";
import { traceHeaders } from "../traces.js";
import { type CommandBody, extraOf, USUAL_TTL_S } from "./body.js";
import { iso } from "./shown.js";

export interface Order {
  readonly user: User;
  readonly deviceId: string;
  readonly body: CommandBody;
  readonly op: string;
  /** Idempotency-Key. */
  readonly key: string | null;
  /** Of the request's trace, for the record. */
  readonly traceparent?: string | undefined;
  /** Throws when the device cannot be given it now; asked for a new command only. */
  readonly mayBeGiven: () => Promise<void>;
}

/** What is known of a command: its row, or what the log took and the database has not stored yet. */
export type Known =
  | { readonly record: CommandRecord; readonly accepted: null }
  | { readonly record: null; readonly accepted: AcceptedCommand };

export interface Giving {
  /** Resolves once the log has the command, or when it was given before. */
  give(order: Order): Promise<Known>;
  /** Resolves once the log has the wish. */
  cancel(user: User, deviceId: string, cmdId: string): Promise<void>;
  find(tenant: string, deviceId: string, cmdId: string): Promise<Known | null>;
}

/** Milliseconds the log may take to acknowledge a command; less than the gateway waits for a route. */
const APPEND_MS = 10_000;
/** Commands on their way to the log at most: while it is away they would pile up. */
const MOST_WAITING = 256;
/** Milliseconds a key stands for its command. */
const KEY_MS = 24 * 3_600_000;

export function createGiving(deps: GatewayDeps): Giving {
  const nextId = monotonicFactory();
  /** Commands on their way to the log. */
  let waiting = 0;

  async function find(
    tenant: string,
    deviceId: string,
    cmdId: string,
  ): Promise<Known | null> {
    const record = await deps.records.command(tenant, deviceId, cmdId);
    if (record !== null) return { record, accepted: null };
    const at = address(tenant, deviceId);
    const accepted = await deps.view.acceptedCommand(at, cmdId);
    return accepted === null ? null : { record: null, accepted };
  }

  async function give(order: Order): Promise<Known> {
    const { user, deviceId, key } = order;
    const place = { tenant: user.tenant, deviceId };
    let given = key === null ? null : await underKey(place, key);
    if (given === null) {
      await order.mayBeGiven();
      const nowMs = deps.clock();
      given = {
        cmdId: nextId(nowMs),
        createdMs: nowMs,
        bodyHash: hashOf(order),
      };
      if (key !== null) {
        const stands = await deps.commandKeys.take(
          { ...place, key },
          given,
          nowMs - KEY_MS,
        );
        if (stands.cmdId === given.cmdId) return append(order, given);
        given = stands;
      } else return append(order, given);
    }
    if (given.bodyHash !== hashOf(order))
      throw refusal(
        "IDEMPOTENCY_KEY_TAKEN",
        `this Idempotency-Key belongs to command ${given.cmdId}, which another body gave; use a key of its own`,
      );
    return (
      (await find(user.tenant, deviceId, given.cmdId)) ?? append(order, given)
    );
  }

  const underKey = (
    place: { tenant: string; deviceId: string },
    key: string,
  ): Promise<KeyedCommand | null> =>
    deps.commandKeys.find({ ...place, key }, deps.clock() - KEY_MS);

  /** Puts the command on the log; what it resolves with is acknowledged there. */
  async function append(
    { user, deviceId, body, op, traceparent }: Order,
    { cmdId, createdMs }: KeyedCommand,
  ): Promise<Known> {
    const accepted: AcceptedCommand = {
      cmdId,
      op,
      params: body.params ?? {},
      createdMs,
      expiresMs: createdMs + (body.ttl_s ?? USUAL_TTL_S) * 1000,
    };
    const at = address(user.tenant, deviceId);
    const value = {
      kind: "command",
      tenant: user.tenant,
      device_id: deviceId,
      cmd_id: cmdId,
      op,
      params: accepted.params,
      // Who gives it is who logged in; only without a log-in may a body say.
      by: user === NOBODY ? (body.by ?? user.username) : user.username,
      ts: iso(createdMs),
      expires_at: iso(accepted.expiresMs),
      queue: body.queue ?? false,
      supersedes: body.supersedes ?? null,
      precondition: body.precondition ?? null,
      extra: extraOf(body),
    };
    await toLog(at, cmdId, value, traceparent);
    await remember(at, accepted);
    deps.observer.emit({ type: "command", state: "accepted", count: 1 });
    return { record: null, accepted };
  }

  async function toLog(
    key: string,
    cmdId: string,
    value: object,
    traceparent?: string,
  ): Promise<void> {
    if (waiting >= MOST_WAITING)
      throw refusal(
        "LOG_UNREACHABLE",
        "the log does not answer and many commands wait for it already; this one was not taken, give it again later",
      );
    waiting += 1;
    const record = {
      key,
      value: Buffer.from(JSON.stringify(value)),
      ...traceHeaders(traceparent),
    };
    const appended = deps.log
      .append(TOPIC.commands, [record])
      .finally(() => (waiting -= 1));
    try {
      await inTime(appended, APPEND_MS, "LOG_UNREACHABLE");
    } catch (error) {
      if (!(error instanceof TwinstreamError) || !error.canRetry) throw error;
      throw refusal(
        error.code,
        `the log did not acknowledge the command, and it may or may not have been taken: look for ${cmdId} among the device's commands before giving it again, or give it again under the Idempotency-Key it had`,
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

  return {
    find,
    give,
    cancel: (user, deviceId, cmdId) =>
      toLog(address(user.tenant, deviceId), cmdId, {
        kind: "cancel",
        tenant: user.tenant,
        device_id: deviceId,
        cmd_id: cmdId,
        by: user.username,
        ts: iso(deps.clock()),
      }),
  };
}

/** The same request sent again has the same bytes; their order of keys counts too. */
const hashOf = ({ body }: Order): string =>
  hash("sha256", JSON.stringify(body), "hex");
