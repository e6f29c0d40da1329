/**
 * Ids for devices and sensors seen for the first time, in a transaction of its own that is committed before the flush whose
 * rows refer to them. What is there already is read, not inserted, so that no ids are used up by replays; a sensor that is
 * there without a unit takes the one given.
 */
import type { DeviceRef, Sensor } from "../../domain/device.js";
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

/** What is registered, by key, once the transaction has committed. */
type Ids = ReadonlyMap<string, number>;

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
      const sensorIds = await registerSensors(
        session,
        newSensors,
        deviceIds,
        made,
      );
      return { deviceIds, sensorIds };
    },
  );
  for (const ref of newDevices)
    ref.equipmentId = deviceIds.get(deviceKey(ref.tenant, ref.deviceId))!;
  for (const sensor of newSensors)
    sensor.id = sensorIds.get(
      sensorKey(sensor.device.equipmentId, sensor.typeClass, sensor.name),
    )!;
}

const deviceKey = (tenant: string, deviceId: string) =>
  JSON.stringify([tenant, deviceId]);
const sensorKey = (equipmentId: number, typeClass: string, name: string) =>
  `${equipmentId}/${typeClass}/${name}`;

async function registerDevices(
  session: Session,
  partition: number,
  devices: ReadonlySet<DeviceRef>,
): Promise<{ deviceIds: Ids; made: ReadonlySet<number> }> {
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
      rows.map((row) => [deviceKey(row.tenant_id, row.equip_uuid), row.id]),
    ),
    made: new Set(rows.flatMap(({ id, made }) => (made ? [id] : []))),
  };
}

async function registerSensors(
  session: Session,
  sensors: readonly Sensor[],
  deviceIds: Ids,
  made: ReadonlySet<number>,
): Promise<Ids> {
  const equipmentOf = ({ device }: Sensor): number =>
    device.equipmentId ||
    deviceIds.get(deviceKey(device.tenant, device.deviceId))!;
  const unique = [
    ...new Map(
      sensors.map((sensor) => [
        sensorKey(equipmentOf(sensor), sensor.typeClass, sensor.name),
        sensor,
      ]),
    ).values(),
  ];
  const ids = new Map<string, number>();
  for (const [statement, some] of [
    [SENSORS_OF_MADE, unique.filter((one) => made.has(equipmentOf(one)))],
    [SENSORS, unique.filter((one) => !made.has(equipmentOf(one)))],
  ] as const) {
    if (some.length === 0) continue;
    const rows = await session.rows<{
      id: number;
      equipment_id: number;
      sensor_uuid: string;
      type_class: string;
    }>(statement, [
      some.map(equipmentOf),
      some.map((sensor) => sensor.device.tenant),
      some.map((sensor) => sensor.name),
      some.map((sensor) => sensor.typeClass),
      some.map((sensor) => storable(sensor.type)),
      some.map((sensor) =>
        sensor.unit === null ? null : storable(sensor.unit),
      ),
    ]);
    for (const row of rows)
      ids.set(
        sensorKey(row.equipment_id, row.type_class, row.sensor_uuid),
        row.id,
      );
  }
  return ids;
}
