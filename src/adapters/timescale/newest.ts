/** The newest value of every sensor of a device, as the v1 message that would say it: its last state when Redis has none. */
import { orderOf } from "../../domain/decide.js";
import type { DeviceRef, LastState } from "../../domain/device.js";
import type { TypeClass } from "../../domain/message.js";
import type { Session } from "./connect.js";
import { toIso } from "../../domain/time.js";
import { microsecondsOf } from "./times.js";

const NEWEST = `
  SELECT g.place, ${microsecondsOf("e.last_seen")} AS seen_us, ${microsecondsOf("d.time")} AS time_us,
         s.sensor_uuid, s.type_class, s.sensor_tipo, s.unit, d.value, d.text_value
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g (tenant_id, equip_uuid, place)
  JOIN equipments e USING (tenant_id, equip_uuid)
  JOIN sensors s ON s.equipment_id = e.id
  CROSS JOIN LATERAL (
    SELECT time, value, text_value FROM __ROWS__ r WHERE r.sensor_id = s.id ORDER BY time DESC LIMIT 1
  ) d
  ORDER BY g.place, s.id`;

interface NewestRow {
  place: string;
  seen_us: string | null;
  time_us: string;
  sensor_uuid: string;
  type_class: TypeClass;
  sensor_tipo: string;
  unit: string | null;
  value: number | null;
  text_value: string | null;
}

/**
 * By address. `rows` names the relation to read: the hypertable for the writer, the view for a tenant's reader.
 * The state's offset is -1, so that whatever is on the log for the same time goes before it.
 */
export async function newest(
  session: Session,
  devices: readonly Pick<DeviceRef, "address" | "tenant" | "deviceId">[],
  rows: "store.telemetry_data" | "public.telemetry_data",
): Promise<Map<string, LastState>> {
  const found = await session.rows<NewestRow>(
    NEWEST.replace("__ROWS__", rows),
    [devices.map((ref) => ref.tenant), devices.map((ref) => ref.deviceId)],
  );
  const byDevice = new Map<string, NewestRow[]>();
  for (const row of found) {
    const { address } = devices[Number(row.place) - 1]!;
    const known = byDevice.get(address);
    if (known === undefined) byDevice.set(address, [row]);
    else known.push(row);
  }
  return new Map(
    [...byDevice].map(([address, values]) => [address, stateOf(values)]),
  );
}

function stateOf(values: readonly NewestRow[]): LastState {
  const timeUs = Math.max(...values.map((row) => Number(row.time_us)));
  const seenUs = values[0]!.seen_us;
  return {
    // The arrival is not kept; when the device was last seen comes closest.
    orderUs: seenUs === null ? timeUs : orderOf(timeUs, Number(seenUs)),
    offset: -1,
    timeUs,
    payload: JSON.stringify({
      schema: "v1",
      ts: toIso(timeUs),
      points: values.map((row) => ({
        name: row.sensor_uuid,
        t: row.sensor_tipo,
        v: valueOf(row),
        ...(row.unit === null ? {} : { u: row.unit }),
      })),
    }),
  };
}

function valueOf(row: NewestRow): number | boolean | string | null {
  switch (row.type_class) {
    case "num":
      return row.value;
    case "bool":
      return row.value !== 0;
    case "text":
      return row.text_value;
  }
}
