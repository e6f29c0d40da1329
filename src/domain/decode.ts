/**
 * From a record of the log to the one thing it says, or to its dead letter. Pure: what a record decodes to depends on nothing
 * but the record and the rules, so that a replay, a rebuild or a ledger check comes to the same answer as long as the rules
 * (tenants and devices' adapters among them) are the same.
 *
 * It runs for every message (60,000 a second are to go through one core, beside everything else), so the way of a good v1
 * message makes no closures, throws nothing and looks at each byte a few times at most; words are found for bad ones only.
 */
import { hash } from "node:crypto";
import type { JsonObject } from "./adapters/adapter.js";
import { adapterFor } from "./adapters/registry.js";
import { isCancel } from "./command-life.js";
import { readCommandRecord } from "./command-request.js";
import { bytesOf, deadLetter, type Known } from "./dead-letter.js";
import {
  type BrokenEnvelope,
  type Envelope,
  readEnvelope,
} from "./envelope-reader.js";
import { type Fault, fault, isFault } from "./fault.js";
import { createJudge, type DecodeRules } from "./judge.js";
import {
  type CommandRequest,
  type DataMessage,
  type DeadLetter,
  HEADER,
  type LogRecord,
  type Message,
} from "./message.js";
import { address, deviceTopic, parseTopic } from "./names.js";
import { sortPoints } from "./points.js";
import { originOf } from "./replay.js";
import {
  readAck,
  readBulk,
  readEvent,
  readObject,
  readState,
  readTime,
} from "./reports.js";

export type { DecodeRules } from "./judge.js";

export interface Decoder {
  /** A record of `iot-data`. Never throws; the same record always gives the same answer. */
  readonly decode: (record: LogRecord) => Message | DeadLetter;
  /** A record of `device-commands`. Never throws. */
  readonly decodeCommand: (record: LogRecord) => Message | DeadLetter;
}

export const isDeadLetter = (
  outcome: Message | DeadLetter,
): outcome is DeadLetter => "reason" in outcome;

export function createDecoder(rules: DecodeRules): Decoder {
  const { tenantPrefix, adapterOf = adapterFor } = rules;
  const judge = createJudge(rules);

  function decode(given: LogRecord): Message | DeadLetter {
    const record = originOf(given);
    const key = keyText(record);
    const envelope = readEnvelope(record, key);
    if (isFault(envelope)) return deadEnvelope(record, envelope);
    const outcome =
      judge.place(given, key, envelope.address) ??
      judge.tenant(envelope.tenant) ??
      judge.arrival(envelope.arrivalUs) ??
      messageOf(record, envelope);
    if (!isFault(outcome)) return outcome;
    return deadLetter(record, outcome, {
      tenant: envelope.tenant,
      deviceId: envelope.deviceId,
      topic: deviceTopic(envelope, envelope.kind, tenantPrefix) ?? record.topic,
      payload: bytesOf(envelope.payload, record),
    });
  }

  function messageOf(record: LogRecord, envelope: Envelope): Message | Fault {
    const { kind, payload } = envelope;
    if (payload.form === "cut") return payload.fault;
    if (kind === "hello") return { kind, ...baseOf(record, envelope) };
    if (kind === "state") {
      const state = readState(payload);
      return isFault(state)
        ? state
        : { kind, ...baseOf(record, envelope), ...state };
    }
    const object = readObject(payload);
    if (isFault(object)) return object;
    return kind === "data"
      ? dataOf(record, envelope, object.value, object.text)
      : reportOf(kind, record, envelope, object.value, object.text);
  }

  function dataOf(
    record: LogRecord,
    envelope: Envelope,
    payload: JsonObject,
    text: string,
  ): DataMessage | Fault {
    const adapter = adapterOf(payload, envelope.address);
    if (isFault(adapter)) return adapter;
    const adapted = adapter.adapt(payload);
    if (isFault(adapted)) return adapted;
    const { timeField, points, meta } = adapted;
    const { arrivalUs } = envelope;
    let timeUs = arrivalUs;
    if (timeField !== null) {
      const own = readTime(payload, timeField);
      if (typeof own !== "number") return own;
      const wrong =
        judge.time(own, arrivalUs, timeField) ??
        judge.age(own, arrivalUs, timeField);
      if (wrong !== null) return wrong;
      timeUs = own;
    }
    const { stored, conflicts, refused } = sortPoints(points);
    return {
      kind: "data",
      source: record,
      address: envelope.address,
      tenant: envelope.tenant,
      deviceId: envelope.deviceId,
      site: envelope.site,
      arrivalUs,
      timeUs,
      points: stored,
      conflicts,
      refused,
      payload: text,
      untimedId: timeField === null ? untimedId(record, text) : null,
      redelivered: record.headers[HEADER.dup] === "1",
      adapter: adapter.name,
      firmware: meta === null ? null : firmwareOf(meta),
    };
  }

  function reportOf(
    kind: "ack" | "event" | "bulk",
    record: LogRecord,
    envelope: Envelope,
    payload: JsonObject,
    text: string,
  ): Message | Fault {
    const { arrivalUs } = envelope;
    if (kind === "ack") {
      const ack = readAck(payload, text, arrivalUs);
      return isFault(ack) ? ack : { kind, ...baseOf(record, envelope), ...ack };
    }
    if (kind === "event") {
      const event = readEvent(payload, text, arrivalUs);
      if (isFault(event)) return event;
      const wrong = judge.time(event.timeUs, arrivalUs, "the event's time");
      return wrong ?? { kind, ...baseOf(record, envelope), ...event };
    }
    const bulk = readBulk(payload, text);
    if (isFault(bulk)) return bulk;
    const wrong = judge.time(bulk.timeUs, arrivalUs, "points: the newest ts");
    return wrong ?? { kind, ...baseOf(record, envelope), ...bulk };
  }

  function deadEnvelope(record: LogRecord, broken: BrokenEnvelope): DeadLetter {
    const { topic } = broken;
    const parsed = topic === null ? null : parseTopic(topic, tenantPrefix);
    const wrong =
      parsed !== null && "reason" in parsed
        ? fault("bad_topic", parsed.reason)
        : broken;
    return deadLetter(record, wrong, {
      tenant: broken.tenant,
      deviceId: broken.deviceId,
      topic: topic ?? record.topic,
      payload: bytesOf(broken.payload, record),
    });
  }

  function decodeCommand(record: LogRecord): Message | DeadLetter {
    const known: Known = {
      tenant: null,
      deviceId: null,
      topic: record.topic,
      payload: record.value ?? Buffer.alloc(0),
    };
    const asked = readCommandRecord(record.value);
    if (isFault(asked)) return deadLetter(record, asked, known);
    const { tenant, deviceId, request } = asked;
    const at = address(tenant, deviceId);
    const wrong =
      judge.place(record, keyText(record), at) ?? judge.tenant(tenant);
    if (wrong !== null)
      return deadLetter(record, wrong, { ...known, tenant, deviceId });
    const base = {
      source: record,
      address: at,
      tenant,
      deviceId,
      site: null,
      arrivalUs: asked.askedUs ?? record.timestampMs * 1000,
    };
    if (request === null) return { kind: "release", ...base };
    return isCancel(request)
      ? { kind: "cancel", ...base, cancel: request }
      : { kind: "command", ...base, command: traced(request, record) };
  }

  return { decode, decodeCommand };
}

const traced = (request: CommandRequest, { headers }: LogRecord) => {
  const traceparent = headers[HEADER.traceparent];
  return traceparent === undefined ? request : { ...request, traceparent };
};

/** Addresses are ASCII, so Latin-1, the cheapest to read, is enough: a key of any other bytes equals none of them. */
const keyText = (record: LogRecord): string | null =>
  record.key === null ? null : record.key.toString("latin1");

const baseOf = (record: LogRecord, envelope: Envelope) => ({
  source: record,
  address: envelope.address,
  tenant: envelope.tenant,
  deviceId: envelope.deviceId,
  site: envelope.site,
  arrivalUs: envelope.arrivalUs,
});

/** Characters of a firmware's name that are kept. */
const MAX_FIRMWARE = 128;

function firmwareOf({ fw }: JsonObject): string | null {
  if (typeof fw === "number") return String(fw);
  return typeof fw === "string" && fw !== "" ? fw.slice(0, MAX_FIRMWARE) : null;
}

/** By bridge, MQTT packet id and 72 bits of the payload's SHA-256: only the last few of one device are ever compared. */
function untimedId(record: LogRecord, text: string): string | null {
  const packet = record.headers[HEADER.packet];
  if (packet === undefined) return null;
  const bridge = record.headers[HEADER.bridge] ?? "";
  return `${bridge}:${packet}:${hash("sha256", text, "base64").slice(0, 12)}`;
}
