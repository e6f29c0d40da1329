/** Devices as Redis shows them, each with a last state and a history. */
import type { ViewChange } from "../../../src/domain/device.js";

interface ShownMessage {
  /** Unix seconds. */
  readonly timestamp: number;
  readonly payload: string;
}

/** @param messages oldest first, one at least; @param seenS Unix seconds, of the last message unless told */
export function shownDevice(
  n: number,
  deviceId: string,
  messages: readonly ShownMessage[],
  seenS = messages.at(-1)!.timestamp,
): ViewChange {
  const newest = messages.at(-1)!;
  const orderUs = Math.round(newest.timestamp * 1e6);
  return {
    device: {
      tenant: "default",
      deviceId,
      address: deviceId,
      site: null,
      equipmentId: n,
    },
    history: messages.map(({ timestamp, payload }) => ({
      score: timestamp,
      member: `{"device_id":"${deviceId}","payload":${payload},"timestamp":${timestamp}}`,
    })),
    publish: [],
    last: { orderUs, offset: n, timeUs: orderUs, payload: newest.payload },
    seenUs: Math.round(seenS * 1e6),
    gone: null,
  };
}
