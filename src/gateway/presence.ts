/** Whether a device is online and when it was last seen: from the online set in Redis, else as the database has it. */
import { parseSeconds } from "../domain/time.js";
import type { GatewayDeps } from "./deps.js";

export interface Presence {
  readonly online: boolean;
  /** Whether Redis or the database knows the device. */
  readonly known: boolean;
  /** Microseconds; null when the device was never seen. */
  readonly lastSeenUs: number | null;
  /** Why it is offline, where that is known. */
  readonly cause: string | null;
}

export type PresenceDeps = Pick<
  GatewayDeps,
  "view" | "records" | "clock" | "settings"
>;

/** Microseconds since the epoch; a device not seen since is offline. */
export function onlineSinceUs(deps: PresenceDeps): number {
  return (deps.clock() - deps.settings.offlineTimeoutS * 1000) * 1000;
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
    return { known: true, online: true, lastSeenUs: seenUs, cause: null };
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
    cause: online ? null : record.cause,
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
