/** Records of the log as the bridge makes them, and the rules the tests of decoding go by. */
import type { DecodeRules } from "../../src/domain/decode.js";
import { type Arrival, encodeEnvelope } from "../../src/domain/envelope.js";
import type { LogHeaders, LogRecord } from "../../src/domain/message.js";
import { address } from "../../src/domain/names.js";
import { partitionOf } from "../../src/domain/partition.js";

const DAY_US = 86_400_000_000;
export const PARTITIONS = 12;

/** 2025-11-20T10:00:00.123Z, the arrival of everything in these tests. */
export const NOW_MS = 1_763_632_800_123;

export const RULES: DecodeRules = {
  tenants: new Set(["default", "acme"]),
  futureUs: DAY_US,
  earliestUs: Date.UTC(2000, 0, 1) * 1000,
  retentionUs: 30 * DAY_US,
  tenantPrefix: "traksense",
  partitions: PARTITIONS,
};

/** A record with this value, in the partition of its key unless said otherwise. */
export function recordOf(
  key: string | null,
  value: Buffer | string | null,
  more: {
    partition?: number;
    headers?: LogHeaders;
    topic?: string;
  } = {},
): LogRecord {
  return {
    topic: more.topic ?? "iot-data",
    partition:
      more.partition ?? (key === null ? 0 : partitionOf(key, PARTITIONS)),
    offset: 42,
    key: key === null ? null : Buffer.from(key),
    value: typeof value === "string" ? Buffer.from(value) : value,
    headers: more.headers ?? {},
    timestampMs: NOW_MS,
  };
}

/** The record of a message that the bridge heard at NOW_MS; from device `dev-1` of tenant `default` unless said otherwise. */
export function heard(
  payload: Buffer | string | object,
  arrival: Partial<Omit<Arrival, "payload">> = {},
  headers: LogHeaders = {},
): LogRecord {
  const whole: Arrival = {
    tenant: "default",
    deviceId: "dev-1",
    site: null,
    kind: "data",
    arrivalMs: NOW_MS,
    ...arrival,
    payload: Buffer.isBuffer(payload)
      ? payload
      : Buffer.from(
          typeof payload === "string" ? payload : JSON.stringify(payload),
        ),
  };
  return recordOf(
    address(whole.tenant, whole.deviceId),
    encodeEnvelope(whole),
    { headers },
  );
}
