/** Messages and devices for tests, with everything that a test does not care about filled in. */
import type { ApplyMessages } from "../../src/domain/decide.js";
import type { DataMessage, LogRecord } from "../../src/domain/message.js";
import type { Observer, TelemetryEvent } from "../../src/ports.js";

export const NOW_MS = Date.UTC(2025, 9, 7, 15, 30);

export function record(
  offset: number,
  over: Partial<LogRecord> = {},
): LogRecord {
  return {
    topic: "iot-data",
    partition: 0,
    offset,
    key: Buffer.from("dev-1"),
    value: Buffer.from("{}"),
    headers: {},
    timestampMs: NOW_MS,
    ...over,
  };
}

/** One reading `temp` of dev-1 at `timeUs` (now unless given), arriving now. */
export function reading(
  offset: number,
  over: Partial<DataMessage> & { value?: number } = {},
): DataMessage {
  const { value = offset, ...rest } = over;
  const timeUs = over.timeUs ?? NOW_MS * 1000;
  const deviceId = over.deviceId ?? "dev-1";
  return {
    kind: "data",
    source: record(offset, { key: Buffer.from(deviceId) }),
    address: deviceId,
    tenant: "default",
    deviceId,
    site: null,
    arrivalUs: NOW_MS * 1000,
    timeUs,
    points: [
      {
        name: "temp",
        type: "float",
        typeClass: "num",
        value,
        text: null,
        unit: null,
        item: 0,
      },
    ],
    conflicts: [],
    refused: [],
    payload: JSON.stringify({ temp: value }),
    untimedId: null,
    redelivered: false,
    adapter: "plain",
    firmware: null,
    ...rest,
  };
}

/** An observer that keeps what it is told. */
export function listening(): Observer & { readonly events: TelemetryEvent[] } {
  const events: TelemetryEvent[] = [];
  return { events, emit: (event) => events.push(event) };
}

/** The reducer, but for messages whose payload holds `poison`: those throw. */
export function throwingOn(poison: string, own: ApplyMessages): ApplyMessages {
  return (state, messages, nowMs) => {
    for (const message of messages)
      if ("payload" in message && message.payload.includes(poison))
        throw new TypeError(`cannot digest ${poison}`);
    return own(state, messages, nowMs);
  };
}
