/**
 * Ids for devices and sensors seen for the first time, in a transaction of its own that is committed before the flush whose
 * rows refer to them. Sensors that are there already are read, not inserted, so that no ids are used up by replays; one that is
 * there without a unit takes the one given.
 */
import type { DeviceRef, Sensor } from "../../domain/device.js";
import { address } from "../../domain/names.js";
import type { FirstWord } from "../../ports.js";
import { booleans, integers, texts, times } from "./arrays.js";
import {
  type Database,
  type Session,
  storable,
  storableOrNull,
} from "./connect.js";

/** Whoever wakes a device has asked for it before, so nearly all are new. Of one that is there all the same it answers the id. */
const DEVICES = `
  INSERT INTO equipments (tenant_id, equip_uuid, site, topics, log_partition, last_seen, online, cause, firmware)
  SELECT g.tenant_id, g.equip_uuid, g.site,
         CASE WHEN g.tenant_id = 'default' AND g.site IS NULL THEN 'flat' ELSE 'tenant' END, $1, g.seen, g.online, g.cause, g.firmware
  FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[], $7::text[], $8::text[])
    AS g (tenant_id, equip_uuid, site, seen, online, cause, firmware)
  ORDER BY 1, 2
  ON CONFLICT (tenant_id, equip_uuid) DO UPDATE SET log_partition = excluded.log_partition
  RETURNING id, tenant_id, equip_uuid, xmax = 0 AS made`;

/** Of devices that this very transaction has made: nobody else can have made any of them, so they get ids of our choosing. */
const SENSOR_IDS = `
  SELECT string_agg(nextval('public.sensors_id_seq')::text, ',') AS ids FROM generate_series(1, $1)`;
const SENSORS_OF_MADE = `
  INSERT INTO sensors (id, equipment_id, tenant_id, sensor_uuid, type_class, sensor_tipo, unit)
  SELECT * FROM unnest($7::int[], $1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])`;

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
 * that failed at its COMMIT would belong to nothing. Answers the ids of the devices that it has made, for which it has also
 * stored the first word of them.
 */
export async function register(
  database: Database,
  partition: number,
  devices: readonly DeviceRef[],
  sensors: readonly Sensor[],
  firstWords: ReadonlyMap<string, FirstWord> = new Map(),
): Promise<ReadonlySet<number>> {
  const newDevices = new Set(devices.filter((ref) => ref.equipmentId === 0));
  for (const { device } of sensors)
    if (device.equipmentId === 0) newDevices.add(device);
  const newSensors = sensors.filter((sensor) => sensor.id === 0);
  if (newDevices.size === 0 && newSensors.length === 0) return new Set();
  const { deviceIds, made, sensorIds } = await database.transaction(
    "register devices and sensors",
    async (session) => {
      const { deviceIds, made } = await registerDevices(
        session,
        partition,
        newDevices,
        firstWords,
      );
      const sensorIds = await registerSensors(
        session,
        newSensors,
        (device) => device.equipmentId || deviceIds.get(device.address)!,
        made,
      );
      return { deviceIds, made, sensorIds };
    },
  );
  for (const ref of newDevices) ref.equipmentId = deviceIds.get(ref.address)!;
  newSensors.forEach((sensor, i) => (sensor.id = sensorIds[i]!));
  return made;
}

async function registerDevices(
  session: Session,
  partition: number,
  devices: ReadonlySet<DeviceRef>,
  firstWords: ReadonlyMap<string, FirstWord>,
): Promise<{ deviceIds: DeviceIds; made: ReadonlySet<number> }> {
  if (devices.size === 0) return { deviceIds: new Map(), made: new Set() };
  const unique = [
    ...new Map([...devices].map((ref) => [ref.address, ref])).values(),
  ];
  const words = unique.map((ref) => firstWords.get(ref.address));
  const rows = await session.rows<{
    id: number;
    tenant_id: string;
    equip_uuid: string;
    made: boolean;
  }>(DEVICES, [
    partition,
    texts(unique.map((ref) => ref.tenant)),
    texts(unique.map((ref) => ref.deviceId)),
    texts(unique.map((ref) => ref.site)),
    times(words.map((word) => word?.presence?.seenUs || null)),
    booleans(words.map((word) => word?.presence?.online ?? false)),
    texts(words.map((word) => storableOrNull(word?.presence?.cause))),
    texts(words.map((word) => storableOrNull(word?.firmware))),
  ]);
  return {
    deviceIds: new Map(
      rows.map((row) => [address(row.tenant_id, row.equip_uuid), row.id]),
    ),
    made: new Set(rows.flatMap(({ id, made }) => (made ? [id] : []))),
  };
}

/** A sensor as its row is unique: by device, type class and name. */
interface KeyedSensor {
  /** The latest of those that are the same: it may be the first with a unit. */
  sensor: Sensor;
  readonly equipment: number;
  id: number;
}

const keyOf = (typeClass: string, name: string): string =>
  `${typeClass}/${name}`;

/** Their ids, in their order. */
async function registerSensors(
  session: Session,
  sensors: readonly Sensor[],
  equipmentOf: (device: DeviceRef) => number,
  made: ReadonlySet<number>,
): Promise<number[]> {
  const byDevice = new Map<number, Map<string, KeyedSensor>>();
  const ofMade: KeyedSensor[] = [];
  const others: KeyedSensor[] = [];
  const keyed = sensors.map((sensor) => {
    const equipment = equipmentOf(sensor.device);
    let ofDevice = byDevice.get(equipment);
    if (ofDevice === undefined)
      byDevice.set(equipment, (ofDevice = new Map<string, KeyedSensor>()));
    const key = keyOf(sensor.typeClass, sensor.name);
    let one = ofDevice.get(key);
    if (one === undefined) {
      ofDevice.set(key, (one = { sensor, equipment, id: 0 }));
      (made.has(equipment) ? ofMade : others).push(one);
    } else one.sensor = sensor;
    return one;
  });
  if (ofMade.length > 0) await insertSensors(session, ofMade);
  if (others.length > 0) {
    const found = await findSensors(session, others);
    for (const row of found)
      byDevice
        .get(row.equipment_id)!
        .get(keyOf(row.type_class, row.sensor_uuid))!.id = row.id;
  }
  return keyed.map(({ id }) => id);
}

async function insertSensors(
  session: Session,
  keyed: readonly KeyedSensor[],
): Promise<void> {
  const [row] = await session.rows<{ ids: string }>(SENSOR_IDS, [keyed.length]);
  const ids = row!.ids.split(",").map(Number);
  await session.run(SENSORS_OF_MADE, [...columnsOf(keyed), integers(ids)]);
  keyed.forEach((one, i) => (one.id = ids[i]!));
}

/** Looks for each, and makes those that are not there. */
const findSensors = (session: Session, keyed: readonly KeyedSensor[]) =>
  session.rows<{
    id: number;
    equipment_id: number;
    sensor_uuid: string;
    type_class: string;
  }>(SENSORS, columnsOf(keyed));

const columnsOf = (keyed: readonly KeyedSensor[]): Buffer[] => [
  integers(keyed.map(({ equipment }) => equipment)),
  texts(keyed.map(({ sensor }) => sensor.device.tenant)),
  texts(keyed.map(({ sensor }) => sensor.name)),
  texts(keyed.map(({ sensor }) => sensor.typeClass)),
  texts(keyed.map(({ sensor }) => storable(sensor.type))),
  texts(keyed.map(({ sensor }) => storableOrNull(sensor.unit))),
];
