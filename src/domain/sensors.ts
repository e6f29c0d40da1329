/**
 * A device's sensors, found by type class and name. Most devices have a few, and of those a list is both the smallest and the
 * fastest; of many there are maps.
 */
import type { Sensor } from "./device.js";
import type { TypeClass } from "./message.js";

export type Sensors =
  readonly Sensor[] | ReadonlyMap<TypeClass, ReadonlyMap<string, Sensor>>;
export type EditableSensors = Sensor[] | Map<TypeClass, Map<string, Sensor>>;

export const NO_SENSORS: Sensors = [];

/** Up to here comparing names one after the other is no slower than a map. */
const FEW = 16;

export function findSensor(
  sensors: Sensors,
  typeClass: TypeClass,
  name: string,
): Sensor | undefined {
  if (sensors instanceof Map) return sensors.get(typeClass)?.get(name);
  const list = sensors as readonly Sensor[];
  for (let i = 0; i < list.length; i++) {
    const sensor = list[i]!;
    if (sensor.name === name && sensor.typeClass === typeClass) return sensor;
  }
  return undefined;
}

/** A copy that `putSensor` may change. */
export function editableSensors(sensors: Sensors): EditableSensors {
  if (!(sensors instanceof Map)) return [...(sensors as readonly Sensor[])];
  const copy = new Map<TypeClass, Map<string, Sensor>>();
  for (const [typeClass, named] of sensors) copy.set(typeClass, new Map(named));
  return copy;
}

/** Puts it in, in place of one of its type class and name. Answers what holds them from then on. */
export function putSensor(
  sensors: EditableSensors,
  sensor: Sensor,
): EditableSensors {
  const { typeClass, name } = sensor;
  if (Array.isArray(sensors)) {
    const at = sensors.findIndex(
      (one) => one.name === name && one.typeClass === typeClass,
    );
    if (at >= 0) sensors[at] = sensor;
    else if (sensors.length < FEW) sensors.push(sensor);
    else return [...sensors, sensor].reduce(putNamed, new Map());
    return sensors;
  }
  return putNamed(sensors, sensor);
}

function putNamed(
  sensors: Map<TypeClass, Map<string, Sensor>>,
  sensor: Sensor,
): Map<TypeClass, Map<string, Sensor>> {
  const named = sensors.get(sensor.typeClass);
  if (named === undefined)
    sensors.set(sensor.typeClass, new Map([[sensor.name, sensor]]));
  else named.set(sensor.name, sensor);
  return sensors;
}

export function countSensors(sensors: Sensors): number {
  if (!(sensors instanceof Map)) return (sensors as readonly Sensor[]).length;
  let count = 0;
  for (const named of sensors.values()) count += named.size;
  return count;
}

/** Without the room that a growing list keeps. */
export const compact = (sensors: EditableSensors): Sensors =>
  Array.isArray(sensors) ? sensors.slice() : sensors;
