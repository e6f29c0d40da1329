/** Events within a flush; the same event again changes nothing. */
import type { StoreChange } from "../../domain/device.js";
import { type Session, storable } from "./connect.js";
import { toIso } from "../../domain/time.js";

const INSERT = `
  INSERT INTO events (equipment_id, time, hash, tenant_id, device_id, payload, received_at)
  SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
  ON CONFLICT (equipment_id, time, hash) DO NOTHING`;

export async function storeEvents(
  session: Session,
  changes: readonly StoreChange[],
): Promise<void> {
  const events = changes.flatMap(({ device, events }) =>
    events.map((event) => ({ device, event })),
  );
  if (events.length === 0) return;
  await session.run(INSERT, [
    events.map(({ device }) => device.equipmentId),
    events.map(({ event }) => toIso(event.timeUs)),
    events.map(({ event }) => event.hash),
    events.map(({ device }) => device.tenant),
    events.map(({ device }) => device.deviceId),
    events.map(({ event }) => storable(event.payload)),
    events.map(({ event }) => toIso(event.arrivalUs)),
  ]);
}
