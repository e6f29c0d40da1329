/** Whether a device is online and when it was last seen: from the online set in Redis, else as the database has it. */
import { BEHIND, BRIDGE_DOWN, BRIDGE_DOWN_MS } from "../domain/presence.js";
import { parseSeconds } from "../domain/time.js";
import type { GatewayDeps } from "./deps.js";

export interface Presence {
  readonly online: boolean;
  /** Whether Redis or the database knows the device. */
  readonly known: boolean;
  /** Microseconds; null when the device was never seen. */
  readonly lastSeenUs: number | null;
  /** Why it is offline, where that is known; or why it is not called so. */
  readonly cause: string | null;
}

export type PresenceDeps = Pick<
  GatewayDeps,
  "view" | "records" | "clock" | "settings" | "horizon"
>;

/** Microseconds since the epoch; a device not seen since is offline. Measured by what is known, not by the clock. */
export function onlineSinceUs(deps: PresenceDeps): number {
  const known = deps.horizon?.()?.untilMs ?? Number.POSITIVE_INFINITY;
  const untilMs = Math.min(deps.clock(), known);
  return (untilMs - deps.settings.offlineTimeoutS * 1000) * 1000;
}

/**
 * Why a device is offline; and why one that would be, by the clock, is not called so: silence is not the device's while a
 * bridge is away or a processor behind.
 */
export function causeOf(
  deps: PresenceDeps,
  online: boolean,
  seenUs: number,
  stored: string | null,
): string | null {
  if (!online) return stored;
  const nowMs = deps.clock();
  const horizon = deps.horizon?.() ?? null;
  if (horizon === null) return null;
  const heard = seenUs / 1000 >= nowMs - deps.settings.offlineTimeoutS * 1000;
  if (heard || nowMs - horizon.untilMs <= BRIDGE_DOWN_MS) return null;
  const { bridgesMs } = horizon;
  return bridgesMs !== null && nowMs - bridgesMs > BRIDGE_DOWN_MS
    ? BRIDGE_DOWN
    : BEHIND;
}

/** One question to Redis for a device that is online; the database is asked only about the others. */
export async function presenceOf(
  deps: PresenceDeps,
  tenant: string,
  deviceId: string,
): Promise<Presence> {
  const sinceUs = onlineSinceUs(deps);
  const seen = await deps.view.seen(tenant, [deviceId]);
  const seenUs = toUs(seen?.[0] ?? null);
  if (seenUs !== null && seenUs >= sinceUs)
    return {
      known: true,
      online: true,
      lastSeenUs: seenUs,
      cause: causeOf(deps, true, seenUs, null),
    };
  const record = await deps.records.device(tenant, deviceId);
  if (record === null)
    return {
      known: seenUs !== null,
      online: false,
      lastSeenUs: seenUs,
      cause: null,
    };
  // Only where Redis has no set at all does the database decide; otherwise not to be in the set is to be offline.
  const online = seen === null && record.online && record.lastSeenUs >= sinceUs;
  return {
    known: true,
    online,
    lastSeenUs: latestOf(record.lastSeenUs, seenUs),
    cause: causeOf(deps, online, record.lastSeenUs, record.cause),
  };
}

/** The later of what the database (0: it has none) and Redis say; null when neither has seen the device. */
export function latestOf(
  storedUs: number,
  seenUs: number | null,
): number | null {
  const latest = Math.max(storedUs, seenUs ?? 0);
  return latest === 0 ? null : latest;
}

export const toUs = (seconds: number | null): number | null =>
  seconds === null ? null : parseSeconds(seconds);
