/**
 * Devices and sensors of uploads, by name: known ones from the database, new ones registered there. What was looked up is
 * remembered, the least recently used let go first.
 */
import type { DeviceRef, Sensor } from "../domain/device.js";
import type { BulkEquipment, BulkPoint } from "../domain/bulk.js";
import type { LogRecord } from "../domain/message.js";
import { address } from "../domain/names.js";
import { partitionOf } from "../domain/partition.js";
import {
  countSensors,
  editableSensors,
  type EditableSensors,
  findSensor,
  NO_SENSORS,
  putSensor,
} from "../domain/sensors.js";
import type { BulkRow, EquipmentResult, UploadStore } from "../ports.js";
import type { DraftEquipment } from "./upload-equipments.js";

export interface UploadDevices {
  /** The same equipments with ids in place of names; the `source` of rows is of no account. */
  resolve(drafts: readonly DraftEquipment[]): Promise<EquipmentResult[]>;
}

interface Known {
  readonly device: DeviceRef;
  sensors: EditableSensors;
  /** Its sensors. */
  count: number;
  /** Those of them that are counted as remembered. */
  kept: number;
}

/** Sensors remembered, over all devices: some 20 MB. */
const KEPT_SENSORS = 100_000;

/** Rows of uploads have no record of their own: their claim is told by the transaction that stores them. */
const NO_RECORD: LogRecord = {
  topic: "",
  partition: -1,
  offset: -1,
  key: null,
  value: null,
  headers: {},
  timestampMs: 0,
};

/** @param partitions of `iot-data`, where the devices' own records are */
export function createUploadDevices(
  store: Pick<UploadStore, "wake" | "register">,
  partitions: number,
): UploadDevices {
  /** By address, the most recently used last. */
  const known = new Map<string, Known>();
  let sensorsKept = 0;

  async function lookUp(
    wanted: ReadonlyMap<string, DeviceRef>,
  ): Promise<Map<string, Known>> {
    const found = new Map<string, Known>();
    const missing: DeviceRef[] = [];
    for (const [at, device] of wanted) {
      const one = known.get(at);
      if (one === undefined) missing.push(device);
      else found.set(at, one);
    }
    if (missing.length === 0) return found;
    const woken = await store.wake(missing);
    for (const device of missing) {
      const sensors = editableSensors(
        woken.get(device.address)?.state.sensors ?? NO_SENSORS,
      );
      const count = countSensors(sensors);
      found.set(device.address, { device, sensors, count, kept: 0 });
    }
    return found;
  }

  function keep(used: ReadonlyMap<string, Known>): void {
    for (const [at, one] of used) {
      sensorsKept += one.count - (known.get(at)?.kept ?? 0);
      one.kept = one.count;
      known.delete(at);
      known.set(at, one);
    }
    for (const [at, { kept }] of known) {
      if (sensorsKept <= KEPT_SENSORS) break;
      known.delete(at);
      sensorsKept -= kept;
    }
  }

  async function register(
    used: ReadonlyMap<string, Known>,
    fresh: ReadonlySet<Sensor>,
  ): Promise<void> {
    const byPartition = new Map<number, DeviceRef[]>();
    for (const { device } of used.values()) {
      if (device.equipmentId !== 0) continue;
      const partition = partitionOf(device.address, partitions);
      const others = byPartition.get(partition);
      if (others === undefined) byPartition.set(partition, [device]);
      else others.push(device);
    }
    for (const [partition, devices] of byPartition)
      await store.register(partition, devices, []);
    if (fresh.size > 0) await store.register(0, [], [...fresh]);
  }

  return {
    async resolve(drafts) {
      const wanted = new Map<string, DeviceRef>();
      for (const { claim, equipment } of drafts) {
        if (equipment === null) continue;
        const { tenant } = claim;
        const at = address(tenant, equipment.equipUuid);
        wanted.set(at, {
          address: at,
          tenant,
          deviceId: equipment.equipUuid,
          site: null,
          equipmentId: 0,
        });
      }
      const used = await lookUp(wanted);
      const fresh = new Set<Sensor>();
      const results = drafts.map((draft) => {
        const { claim, ordinal, equipment, errors } = draft;
        const base = { claimId: claim.claimId, ordinal, errors };
        if (equipment === null)
          return { ...base, device: null, name: null, rows: [] };
        const one = used.get(address(claim.tenant, equipment.equipUuid))!;
        const rows = rowsOf(one, ordinal, equipment, fresh);
        return { ...base, device: one.device, name: equipment.equipNome, rows };
      });
      await register(used, fresh);
      keep(used);
      return results;
    },
  };
}

function rowsOf(
  one: Known,
  ordinal: number,
  equipment: BulkEquipment,
  fresh: Set<Sensor>,
): BulkRow[] {
  const sensors = new Map<BulkPoint, Sensor>();
  return equipment.sensors.map((reading) => {
    const { point, timeUs, value, text, index: item } = reading;
    let sensor = sensors.get(point);
    if (sensor === undefined) {
      sensor = sensorOf(one, point);
      sensors.set(point, sensor);
      if (sensor.id === 0) fresh.add(sensor);
    }
    return { sensor, timeUs, value, text, source: NO_RECORD, item, ordinal };
  });
}

function sensorOf(one: Known, point: BulkPoint): Sensor {
  const { typeClass, sensorUuid: name, sensorTipo: type } = point;
  let sensor = findSensor(one.sensors, typeClass, name);
  if (sensor === undefined) {
    const { device } = one;
    sensor = { device, name, typeClass, type, unit: null, id: 0 };
    one.sensors = putSensor(one.sensors, sensor);
    one.count++;
  }
  return sensor;
}
