/** What would become of a payload: the processor's own decoder over a record as the bridge would have made it. Stores nothing. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { chooserOf } from "../../domain/adapters/registry.js";
import { isDeadLetter } from "../../domain/decode.js";
import { createDryRun, dryRecord, type DryRun } from "../../domain/dry-run.js";
import { encodeBadTopic, encodeEnvelope } from "../../domain/envelope.js";
import { memberText } from "../../domain/json-text.js";
import type { DeadLetter, LogRecord, Point } from "../../domain/message.js";
import { address, parseTopic } from "../../domain/names.js";
import { unbearable } from "../../domain/points.js";
import { toIso } from "../../domain/time.js";
import { reasonOf } from "../../errors.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import { refusal } from "../problems.js";

/** Where the request names no device. */
const DEVICE = "test-device";

const Body = Type.Object({
  topic: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 65_535,
      description:
        "MQTT topic that the device would use; device_id's when not given",
    }),
  ),
  device_id: Type.Optional(
    Type.String({
      pattern: "^[A-Za-z0-9._:-]{1,128}$",
      description: `device that would send it; ${DEVICE} when not given`,
    }),
  ),
  payload: Type.Unknown({
    description: "the payload, as the device writes it",
  }),
});

/** Where the parser keeps the payload's own text. */
const TEXT = Symbol("payload text");

export function ingestTestRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  const { rules } = deps.settings;

  /** The record, and the device whose adapter counts; null for a topic that names none. */
  function heard(
    tenant: string,
    topic: string | undefined,
    deviceId: string,
    payload: Buffer,
  ): { record: LogRecord; deviceId: string | null } {
    const arrivalMs = deps.clock();
    const record = (key: string, value: Buffer) =>
      dryRecord(key, value, arrivalMs, rules.partitions);
    const parsed =
      topic === undefined
        ? { tenant, deviceId, site: null, kind: "data" as const }
        : parseTopic(topic, rules.tenantPrefix);
    if ("reason" in parsed)
      return {
        record: record(
          topic!,
          encodeBadTopic({ topic: topic!, payload, arrivalMs }),
        ),
        deviceId: null,
      };
    if (parsed.tenant !== tenant)
      throw refusal(
        "BAD_REQUEST",
        `the topic belongs to tenant ${parsed.tenant}; a test goes through your own, ${tenant}`,
        [{ path: "body.topic", reason: "must be of your own tenant" }],
      );
    return {
      record: record(
        address(tenant, parsed.deviceId),
        encodeEnvelope({ ...parsed, payload, arrivalMs }),
      ),
      deviceId: parsed.deviceId,
    };
  }

  return async (app) => {
    // The payload goes to the decoder as it was written: parsed and written again, 1e999 and long integers would change.
    app.addContentTypeParser(
      "application/json",
      { parseAs: "string" },
      (_request, text, done) => {
        try {
          done(null, withPayloadText(String(text)));
        } catch (error) {
          done(
            refusal("BAD_REQUEST", `the body is not JSON: ${reasonOf(error)}`),
          );
        }
      },
    );
    app.post(
      "/ingest/test",
      {
        schema: {
          summary: "What would become of a payload; nothing is stored",
          body: Body,
        },
        config: { access: "viewer" },
      },
      async (request) => {
        const { body } = request;
        const tenant = tenantOf(request);
        const text = (body as { [TEXT]?: string })[TEXT] ?? "null";
        const { record, deviceId } = heard(
          tenant,
          body.topic,
          body.device_id ?? DEVICE,
          Buffer.from(text),
        );
        // Asked for only where somebody's device was named.
        const isNamed = (body.topic ?? body.device_id) !== undefined;
        const adapter =
          isNamed && deviceId !== null
            ? await deps.adapters.find(tenant, deviceId)
            : null;
        const registered = new Map(
          adapter === null ? [] : [[address(tenant, deviceId!), adapter]],
        );
        const dryRun = createDryRun(
          // Whoever is logged in belongs to a tenant there is.
          { ...rules, tenants: new Set([tenant]) },
          chooserOf(() => registered),
        );
        return shown(dryRun(record), adapter !== null);
      },
    );
  };
}

/** Names that a payload's text may have without being another object's: the parser makes a plain own property of each. */
function withPayloadText(text: string): unknown {
  const body = JSON.parse(text) as unknown;
  if (typeof body !== "object" || body === null || Array.isArray(body))
    return body;
  const { topic, device_id, payload } = body as Record<string, unknown>;
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(device_id === undefined ? {} : { device_id }),
    ...(payload === undefined ? {} : { payload }),
    [TEXT]: memberText(text, "payload"),
  };
}

function shown({ outcome, reading }: DryRun, isRegistered: boolean): object {
  const read =
    reading === null
      ? { adapter: null, chosen_by: null }
      : {
          adapter: reading.adapter,
          chosen_by: reading.byName
            ? "schema"
            : isRegistered
              ? "registered"
              : "plain",
        };
  if (isDeadLetter(outcome))
    return {
      outcome: "dead_letter",
      reason: outcome.reason,
      detail: outcome.detail,
      ...read,
      errors: [errorOf(outcome)],
    };
  const { kind, tenant, deviceId } = outcome;
  const head = { tenant, device_id: deviceId, kind };
  if (outcome.kind !== "data") return { outcome: "noted", ...head };
  // A v1 payload lists its points; others' are named by where they stand.
  const pathOf = ({ name, item }: Point): string =>
    outcome.adapter === "v1" ? `payload.points[${item}]` : `payload.${name}`;
  return {
    outcome: "stored",
    ...head,
    ...read,
    meta: reading?.meta ?? null,
    ts: toIso(outcome.timeUs),
    points: outcome.points.map(pointShown),
    conflicts: outcome.conflicts.map(pointShown),
    refused: outcome.refused.map((point) => ({
      ...pointShown(point),
      detail: unbearable(point.value!),
    })),
    errors: [
      ...outcome.conflicts.map((point) => ({
        path: pathOf(point),
        reason: `another point named ${JSON.stringify(point.name)} stands before it; the first counts`,
      })),
      ...outcome.refused.map((point) => ({
        path: pathOf(point),
        reason: unbearable(point.value!),
      })),
    ],
  };
}

/** A fault's detail begins with the path of what is wrong, where it is one thing of the payload. */
function errorOf({ reason, detail }: DeadLetter): {
  path: string;
  reason: string;
} {
  if (reason === "bad_topic") return { path: "topic", reason: detail };
  const [, path, why] = /^([^\s:]+): (.+)$/s.exec(detail) ?? [];
  if (path === undefined || why === undefined)
    return { path: "payload", reason: detail };
  return { path: path === "payload" ? path : `payload.${path}`, reason: why };
}

const pointShown = ({ name, type, typeClass, value, text, unit }: Point) => ({
  name,
  t: type,
  type_class: typeClass,
  value: typeClass === "bool" ? value !== 0 : (value ?? text),
  unit,
});
