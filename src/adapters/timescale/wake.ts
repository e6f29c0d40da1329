/** What the database remembers of devices whose actors wake: one statement for all of them. */
import { type DeviceRef, newState } from "../../domain/device.js";
import type { TypeClass } from "../../domain/message.js";
import {
  compact,
  editableSensors,
  type EditableSensors,
  NO_SENSORS,
  putSensor,
} from "../../domain/sensors.js";
import type { StoredDevice } from "../../ports.js";
import { texts } from "./arrays.js";
import type { Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

/** A row for each sensor, or one without where a device has none. */
const WAKE = `
  SELECT g.place, e.id, e.site, ${microsecondsOf("e.last_seen")} AS seen_us, e.online,
         ${microsecondsOf("e.quarantined_until")} / 1000 AS until_ms, e.untimed, e.firmware,
         s.id AS sensor_id, s.sensor_uuid, s.type_class, s.sensor_tipo, s.unit
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g (tenant_id, equip_uuid, place)
  JOIN equipments e USING (tenant_id, equip_uuid)
  LEFT JOIN sensors s ON s.equipment_id = e.id`;

interface WakeRow {
  place: string;
  id: number;
  site: string | null;
  seen_us: string | null;
  online: boolean;
  until_ms: string | null;
  untimed: string[];
  firmware: string | null;
  sensor_id: number | null;
  sensor_uuid: string;
  type_class: TypeClass;
  sensor_tipo: string;
  unit: string | null;
}

/** By address. Fills in the refs' equipment ids; the last state is not kept here, see newest.ts. */
export async function wake(
  session: Session,
  devices: readonly DeviceRef[],
): Promise<Map<string, StoredDevice>> {
  const rows = await session.rows<WakeRow>(WAKE, [
    texts(devices.map((ref) => ref.tenant)),
    texts(devices.map((ref) => ref.deviceId)),
  ]);
  const woken = new Map<string, StoredDevice>();
  const sensorsOf = new Map<string, EditableSensors>();
  for (const row of rows) {
    const asked = devices[Number(row.place) - 1]!;
    let device = woken.get(asked.address)?.state.device;
    if (device === undefined) {
      asked.equipmentId = row.id;
      // Who wakes it with a command does not know its site, and its topics need it.
      device =
        asked.site === null && row.site !== null
          ? { ...asked, site: row.site }
          : asked;
      woken.set(device.address, storedDevice(device, row));
    }
    if (row.sensor_id === null) continue;
    const before = sensorsOf.get(device.address) ?? editableSensors(NO_SENSORS);
    const sensors = putSensor(before, {
      device,
      name: row.sensor_uuid,
      typeClass: row.type_class,
      type: row.sensor_tipo,
      unit: row.unit,
      id: row.sensor_id,
    });
    sensorsOf.set(device.address, sensors);
  }
  for (const [address, sensors] of sensorsOf) {
    const one = woken.get(address)!;
    const state = { ...one.state, sensors: compact(sensors) };
    woken.set(address, { ...one, state });
  }
  return woken;
}

function storedDevice(device: DeviceRef, row: WakeRow): StoredDevice {
  const lastSeenUs = row.seen_us === null ? 0 : Number(row.seen_us);
  return {
    state: {
      ...newState(device),
      seenUs: lastSeenUs,
      untimed: row.untimed,
      quarantinedUntilMs: row.until_ms === null ? 0 : Number(row.until_ms),
      firmware: row.firmware,
    },
    lastSeenUs,
    online: row.online,
  };
}
