/** What would become of a payload: the processor's own decoder over a record as the bridge would have made it. Stores nothing. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { createDecoder, isDeadLetter } from "../../domain/decode.js";
import { encodeBadTopic, encodeEnvelope } from "../../domain/envelope.js";
import { memberText } from "../../domain/json-text.js";
import type { LogRecord, Message, Point } from "../../domain/message.js";
import { address, parseTopic, TOPIC } from "../../domain/names.js";
import { partitionOf } from "../../domain/partition.js";
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

  function recordOf(
    tenant: string,
    topic: string | undefined,
    deviceId: string,
    payload: Buffer,
  ): LogRecord {
    const arrivalMs = deps.clock();
    const parsed =
      topic === undefined
        ? { tenant, deviceId, site: null, kind: "data" as const }
        : parseTopic(topic, rules.tenantPrefix);
    if ("reason" in parsed)
      return recordWith(
        topic!,
        encodeBadTopic({ topic: topic!, payload, arrivalMs }),
        arrivalMs,
      );
    if (parsed.tenant !== tenant)
      throw refusal(
        "BAD_REQUEST",
        `the topic belongs to tenant ${parsed.tenant}; a test goes through your own, ${tenant}`,
        [{ path: "body.topic", reason: "must be of your own tenant" }],
      );
    return recordWith(
      address(tenant, parsed.deviceId),
      encodeEnvelope({ ...parsed, payload, arrivalMs }),
      arrivalMs,
    );
  }

  function recordWith(key: string, value: Buffer, timestampMs: number) {
    const bytes = Buffer.from(key);
    const partition = partitionOf(bytes, rules.partitions);
    return {
      topic: TOPIC.data,
      partition,
      offset: 0,
      key: bytes,
      value,
      headers: {},
      timestampMs,
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
        const record = recordOf(
          tenant,
          body.topic,
          body.device_id ?? DEVICE,
          Buffer.from(text),
        );
        // Whoever is logged in belongs to a tenant there is.
        const { decode } = createDecoder({
          ...rules,
          tenants: new Set([tenant]),
        });
        const outcome = decode(record);
        return isDeadLetter(outcome)
          ? {
              outcome: "dead_letter",
              reason: outcome.reason,
              detail: outcome.detail,
            }
          : shown(outcome);
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

function shown(message: Message): object {
  const { kind, tenant, deviceId } = message;
  const head = { tenant, device_id: deviceId, kind };
  if (message.kind !== "data") return { outcome: "noted", ...head };
  return {
    outcome: "stored",
    ...head,
    adapter: message.adapter,
    ts: toIso(message.timeUs),
    points: message.points.map(pointShown),
    conflicts: message.conflicts.map(pointShown),
    refused: message.refused.map((point) => ({
      ...pointShown(point),
      detail: unbearable(point.value!),
    })),
  };
}

const pointShown = ({ name, type, typeClass, value, text, unit }: Point) => ({
  name,
  t: type,
  type_class: typeClass,
  value: typeClass === "bool" ? value !== 0 : (value ?? text),
  unit,
});
