/**
 * Ids for devices and sensors seen for the first time, in a transaction of its own that is committed before the flush whose
 * rows refer to them. What is there already is read, not inserted, so that no ids are used up by replays; a sensor that is
 * there without a unit takes the one given.
 */
import type { DeviceRef, Sensor } from "../../domain/device.js";
import { address } from "../../domain/names.js";
import { type Database, type Session, storable } from "./connect.js";

const DEVICES = `
  WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[]) AS g (tenant_id, equip_uuid, site)
  ), made AS (
    INSERT INTO equipments (tenant_id, equip_uuid, site, topics, log_partition)
    SELECT g.tenant_id, g.equip_uuid, g.site,
           CASE WHEN g.tenant_id = 'default' AND g.site IS NULL THEN 'flat' ELSE 'tenant' END, $1
    FROM given g
    WHERE NOT EXISTS (SELECT FROM equipments e WHERE e.tenant_id = g.tenant_id AND e.equip_uuid = g.equip_uuid)
    ORDER BY 1, 2
    ON CONFLICT (tenant_id, equip_uuid) DO UPDATE SET log_partition = excluded.log_partition
    RETURNING id, tenant_id, equip_uuid, xmax = 0 AS made
  )
  SELECT id, tenant_id, equip_uuid, made FROM made
  UNION ALL
  SELECT e.id, e.tenant_id, e.equip_uuid, false FROM given g JOIN equipments e USING (tenant_id, equip_uuid)`;

/** Of devices that this very transaction has made: nobody else can have made any of them. */
const SENSORS_OF_MADE = `
  INSERT INTO sensors (equipment_id, tenant_id, sensor_uuid, type_class, sensor_tipo, unit)
  SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  RETURNING id, equipment_id, sensor_uuid, type_class`;

const SENSORS = `
  WITH given AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
      AS g (equipment_id, tenant_id, sensor_uuid, type_class, sensor_tipo, unit)
  ), made AS (
    INSERT INTO sensors (equipment_id, tenant_id, sensor_uuid, type_class, sensor_tipo, unit)
    SELECT * FROM given g
    WHERE NOT EXISTS (
      SELECT FROM sensors s
      WHERE s.equipment_id = g.equipment_id AND s.type_class = g.type_class AND s.sensor_uuid = g.sensor_uuid)
    ORDER BY 1, 4, 3
    ON CONFLICT (equipment_id, type_class, sensor_uuid) DO UPDATE SET tenant_id = excluded.tenant_id
    RETURNING id, equipment_id, sensor_uuid, type_class
  ), named AS (
    UPDATE sensors s SET unit = g.unit FROM given g
    WHERE s.equipment_id = g.equipment_id AND s.type_class = g.type_class AND s.sensor_uuid = g.sensor_uuid
      AND s.unit IS NULL AND g.unit IS NOT NULL
  )
  SELECT id, equipment_id, sensor_uuid, type_class FROM made
  UNION ALL
  SELECT s.id, s.equipment_id, s.sensor_uuid, s.type_class
  FROM given g JOIN sensors s USING (equipment_id, type_class, sensor_uuid)`;

/** Of devices, by address. */
type DeviceIds = ReadonlyMap<string, number>;

/**
 * Fills in the ids of all refs and sensors given that have none, and only once they are committed: an id of a transaction
 * that failed at its COMMIT would belong to nothing.
 */
export async function register(
  database: Database,
  partition: number,
  devices: readonly DeviceRef[],
  sensors: readonly Sensor[],
): Promise<void> {
  const newDevices = new Set(devices.filter((ref) => ref.equipmentId === 0));
  for (const { device } of sensors)
    if (device.equipmentId === 0) newDevices.add(device);
  const newSensors = sensors.filter((sensor) => sensor.id === 0);
  if (newDevices.size === 0 && newSensors.length === 0) return;
  const { deviceIds, sensorIds } = await database.transaction(
    "register devices and sensors",
    async (session) => {
      const { deviceIds, made } = await registerDevices(
        session,
        partition,
        newDevices,
      );
      const keyed = newSensors.map((sensor) => keyedSensor(sensor, deviceIds));
      const ofMade = keyed.filter(({ equipment }) => made.has(equipment));
      const others =
        ofMade.length === 0
          ? keyed
          : keyed.filter(({ equipment }) => !made.has(equipment));
      const ids = new Map<string, number>();
      await registerSensors(session, SENSORS_OF_MADE, ofMade, ids);
      await registerSensors(session, SENSORS, others, ids);
      return {
        deviceIds,
        sensorIds: keyed.map(({ key }) => ids.get(key)!),
      };
    },
  );
  for (const ref of newDevices) ref.equipmentId = deviceIds.get(ref.address)!;
  for (const [i, sensor] of newSensors.entries()) sensor.id = sensorIds[i]!;
}

async function registerDevices(
  session: Session,
  partition: number,
  devices: ReadonlySet<DeviceRef>,
): Promise<{ deviceIds: DeviceIds; made: ReadonlySet<number> }> {
  if (devices.size === 0) return { deviceIds: new Map(), made: new Set() };
  const unique = [
    ...new Map([...devices].map((ref) => [ref.address, ref])).values(),
  ];
  const rows = await session.rows<{
    id: number;
    tenant_id: string;
    equip_uuid: string;
    made: boolean;
  }>(DEVICES, [
    partition,
    unique.map((ref) => ref.tenant),
    unique.map((ref) => ref.deviceId),
    unique.map((ref) => ref.site),
  ]);
  return {
    deviceIds: new Map(
      rows.map((row) => [address(row.tenant_id, row.equip_uuid), row.id]),
    ),
    made: new Set(rows.flatMap(({ id, made }) => (made ? [id] : []))),
  };
}

interface KeyedSensor {
  readonly sensor: Sensor;
  readonly equipment: number;
  /** What its row is unique by. */
  readonly key: string;
}

const keyOf = (equipment: number, typeClass: string, name: string): string =>
  `${equipment}/${typeClass}/${name}`;

function keyedSensor(sensor: Sensor, deviceIds: DeviceIds): KeyedSensor {
  const { device, typeClass, name } = sensor;
  const equipment = device.equipmentId || deviceIds.get(device.address)!;
  return { sensor, equipment, key: keyOf(equipment, typeClass, name) };
}

/** Adds their ids by key. */
async function registerSensors(
  session: Session,
  statement: string,
  keyed: readonly KeyedSensor[],
  ids: Map<string, number>,
): Promise<void> {
  if (keyed.length === 0) return;
  const unique = [...new Map(keyed.map((one) => [one.key, one])).values()];
  const sensors = unique.map(({ sensor }) => sensor);
  const rows = await session.rows<{
    id: number;
    equipment_id: number;
    sensor_uuid: string;
    type_class: string;
  }>(statement, [
    unique.map(({ equipment }) => equipment),
    sensors.map(({ device }) => device.tenant),
    sensors.map(({ name }) => name),
    sensors.map(({ typeClass }) => typeClass),
    sensors.map(({ type }) => storable(type)),
    sensors.map(({ unit }) => (unit === null ? null : storable(unit))),
  ]);
  for (const row of rows)
    ids.set(keyOf(row.equipment_id, row.type_class, row.sensor_uuid), row.id);
}
