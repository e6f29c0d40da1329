/** What a flush changes of devices themselves: presence, quarantine, firmware, the ids of messages without a time. */
import type { Flush, PresenceChange } from "../../ports.js";
import { booleans, integers, texts, times } from "./arrays.js";
import { type Session, storable, storableOrNull } from "./connect.js";
import { toIso } from "../../domain/time.js";

/** A device that was made known before it was heard of (an upload, its adapter) gets its site here. */
const PRESENCE = `
  UPDATE equipments e
  SET last_seen = GREATEST(e.last_seen, p.seen), online = p.online, cause = p.cause, log_partition = $1,
      firmware = COALESCE(p.firmware, e.firmware), site = COALESCE(e.site, p.site), topics = CASE WHEN e.site IS NULL AND p.site IS NOT NULL THEN 'tenant' ELSE e.topics END
  FROM unnest($2::int[], $3::timestamptz[], $4::boolean[], $5::text[], $6::text[], $7::text[])
    AS p (id, seen, online, cause, site, firmware)
  WHERE e.id = p.id`;

const UNTIMED = `
  UPDATE equipments e SET untimed = u.ids
  FROM unnest($1::int[], $2::json[]) AS u (id, ids) WHERE e.id = u.id`;

const QUARANTINE = `
  UPDATE equipments e SET quarantined_until = q.until
  FROM unnest($1::int[], $2::timestamptz[]) AS q (id, until) WHERE e.id = q.id`;

const FIRMWARE = `
  UPDATE equipments e SET firmware = f.firmware
  FROM unnest($1::int[], $2::text[]) AS f (id, firmware) WHERE e.id = f.id`;

/** A device's row is written once where it can be: the first word of a device changes both presence and firmware. */
export async function storeDevices(
  session: Session,
  {
    partition,
    changes,
    presence,
    introduced,
  }: Pick<Flush, "partition" | "changes" | "presence" | "introduced">,
): Promise<void> {
  const untimed = new Map<number, string>();
  const quarantine = new Map<number, string | null>();
  const firmwares = new Map<number, string>();
  for (const change of changes) {
    const {
      device,
      untimed: ids,
      quarantinedUntilMs: until,
      firmware,
    } = change;
    if (firmware !== null && !introduced.has(device.equipmentId))
      firmwares.set(device.equipmentId, storable(firmware));
    if (ids !== null) untimed.set(device.equipmentId, JSON.stringify(ids));
    if (until !== null)
      quarantine.set(
        device.equipmentId,
        until === 0 ? null : toIso(until * 1000),
      );
  }
  const changed = presence.filter(
    ({ device }) => !introduced.has(device.equipmentId),
  );
  await storePresence(session, partition, changed, firmwares);
  if (untimed.size > 0)
    await session.run(UNTIMED, [[...untimed.keys()], [...untimed.values()]]);
  if (quarantine.size > 0)
    await session.run(QUARANTINE, [
      [...quarantine.keys()],
      [...quarantine.values()],
    ]);
  if (firmwares.size > 0)
    await session.run(FIRMWARE, [
      integers([...firmwares.keys()]),
      texts([...firmwares.values()]),
    ]);
}

/** Takes the firmwares of the devices in question out of those given. */
async function storePresence(
  session: Session,
  partition: number,
  presence: readonly PresenceChange[],
  firmwares: Map<number, string>,
): Promise<void> {
  if (presence.length === 0) return;
  const latest = [
    ...new Map(presence.map((p) => [p.device.equipmentId, p])).values(),
  ];
  await session.run(PRESENCE, [
    partition,
    integers(latest.map((p) => p.device.equipmentId)),
    times(latest.map((p) => p.seenUs || null)),
    booleans(latest.map((p) => p.online)),
    texts(latest.map((p) => storableOrNull(p.cause))),
    texts(latest.map((p) => p.device.site)),
    texts(latest.map((p) => firmwares.get(p.device.equipmentId) ?? null)),
  ]);
  for (const { device } of latest) firmwares.delete(device.equipmentId);
}
