import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Sensor } from "../../src/domain/device.js";
import type { TypeClass } from "../../src/domain/message.js";
import {
  compact,
  countSensors,
  editableSensors,
  findSensor,
  NO_SENSORS,
  putSensor,
} from "../../src/domain/sensors.js";

const test = suite("sensors of a device");
const device = {
  address: "dev-1",
  tenant: "default",
  deviceId: "dev-1",
  site: null,
  equipmentId: 0,
};
const sensor = (name: string, typeClass: TypeClass = "num"): Sensor => ({
  device,
  name,
  typeClass,
  type: "float",
  unit: null,
  id: 0,
});

/** So many points, each as a number and as a text. */
function both(count: number) {
  const put: Sensor[] = [];
  let own = editableSensors(NO_SENSORS);
  for (let n = 0; n < count; n++)
    for (const typeClass of ["num", "text"] as const) {
      const one = sensor(`p${n}`, typeClass);
      put.push(one);
      own = putSensor(own, one);
    }
  return { put, sensors: compact(own) };
}

for (const count of [1, 8, 9, 500])
  test(`each of ${2 * count} is found by type class and name`, () => {
    const { put, sensors } = both(count);
    assert.is(countSensors(sensors), put.length);
    for (const one of put)
      assert.is(findSensor(sensors, one.typeClass, one.name), one);
    assert.is(findSensor(sensors, "num", "other"), undefined);
    assert.is(findSensor(sensors, "bool", "p0"), undefined);
  });

for (const count of [1, 500])
  test(`of ${2 * count}, one put in place of another leaves the original as it was`, () => {
    const { put, sensors } = both(count);
    const other = sensor("p0");
    const changed = compact(putSensor(editableSensors(sensors), other));
    assert.is(findSensor(changed, "num", "p0"), other);
    assert.is(countSensors(changed), put.length);
    assert.is(findSensor(sensors, "num", "p0"), put[0]);
  });

test.run();
