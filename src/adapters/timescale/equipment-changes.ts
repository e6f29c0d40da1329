/** What a flush changes of devices themselves: presence, quarantine, the ids of messages without a time. */
import type { StoreChange } from "../../domain/device.js";
import type { PresenceChange } from "../../ports.js";
import { type Session, storable } from "./connect.js";
import { toIso } from "../../domain/time.js";

const PRESENCE = `
  UPDATE equipments e
  SET last_seen = GREATEST(e.last_seen, p.seen), online = p.online, cause = p.cause, log_partition = $1
  FROM unnest($2::int[], $3::timestamptz[], $4::boolean[], $5::text[]) AS p (id, seen, online, cause)
  WHERE e.id = p.id`;

const UNTIMED = `
  UPDATE equipments e SET untimed = u.ids
  FROM unnest($1::int[], $2::json[]) AS u (id, ids) WHERE e.id = u.id`;

const QUARANTINE = `
  UPDATE equipments e SET quarantined_until = q.until
  FROM unnest($1::int[], $2::timestamptz[]) AS q (id, until) WHERE e.id = q.id`;

export async function storePresence(
  session: Session,
  partition: number,
  presence: readonly PresenceChange[],
): Promise<void> {
  if (presence.length === 0) return;
  const latest = [
    ...new Map(presence.map((p) => [p.device.equipmentId, p])).values(),
  ];
  await session.run(PRESENCE, [
    partition,
    latest.map((p) => p.device.equipmentId),
    latest.map((p) => (p.seenUs === 0 ? null : toIso(p.seenUs))),
    latest.map((p) => p.online),
    latest.map((p) => (p.cause === null ? null : storable(p.cause))),
  ]);
}

export async function storeDeviceMarks(
  session: Session,
  changes: readonly StoreChange[],
): Promise<void> {
  const untimed = new Map<number, string>();
  const quarantine = new Map<number, string | null>();
  for (const { device, untimed: ids, quarantinedUntilMs: until } of changes) {
    if (ids !== null) untimed.set(device.equipmentId, JSON.stringify(ids));
    if (until !== null)
      quarantine.set(
        device.equipmentId,
        until === 0 ? null : toIso(until * 1000),
      );
  }
  if (untimed.size > 0)
    await session.run(UNTIMED, [[...untimed.keys()], [...untimed.values()]]);
  if (quarantine.size > 0)
    await session.run(QUARANTINE, [
      [...quarantine.keys()],
      [...quarantine.values()],
    ]);
}
