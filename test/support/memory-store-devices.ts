/** Devices of the in-memory TelemetryStore. */
import type {
  DeviceRef,
  LastState,
  Row,
  Sensor,
} from "../../src/domain/device.js";
import { orderOf } from "../../src/domain/decide.js";
import type { TypeClass } from "../../src/domain/message.js";
import { toIso } from "../../src/domain/time.js";
import type { StoredDevice } from "../../src/ports.js";
import type { MemoryDevice, MemoryState } from "./memory-store-state.js";

export function registerOne(
  state: MemoryState,
  ref: DeviceRef,
  partition: number,
): MemoryDevice {
  let known = state.devices.get(ref.address);
  if (known === undefined) {
    known = {
      ref: { ...ref, equipmentId: ++state.lastId },
      partition,
      lastSeenUs: 0,
      online: false,
      cause: null,
      untimed: [],
      quarantinedUntilMs: 0,
      firmware: null,
      sensors: new Map(),
    };
    state.devices.set(ref.address, known);
  }
  ref.equipmentId = known.ref.equipmentId;
  return known;
}

export function wakeOne(
  state: MemoryState,
  ref: DeviceRef,
): StoredDevice | null {
  const known = state.devices.get(ref.address);
  if (known === undefined) return null;
  ref.equipmentId = known.ref.equipmentId;
  const device =
    ref.site === null && known.ref.site !== null
      ? { ...ref, site: known.ref.site }
      : ref;
  const sensors = new Map<TypeClass, Map<string, Sensor>>();
  for (const sensor of known.sensors.values()) {
    const named = sensors.get(sensor.typeClass) ?? new Map<string, Sensor>();
    sensors.set(
      sensor.typeClass,
      named.set(sensor.name, { ...sensor, device }),
    );
  }
  const { untimed, quarantinedUntilMs, firmware, lastSeenUs, online } = known;
  return {
    state: {
      device,
      sensors,
      last: null,
      seenUs: lastSeenUs,
      untimed,
      quarantinedUntilMs,
      firmware,
    },
    lastSeenUs,
    online,
  };
}

export function newestOf(state: MemoryState, ref: DeviceRef): LastState | null {
  const known = state.devices.get(ref.address);
  if (known === undefined) return null;
  const found: { sensor: Sensor; row: Row }[] = [];
  for (const sensor of known.sensors.values()) {
    let best: Row | null = null;
    for (const { row } of state.rows.values())
      if (
        row.sensor.id === sensor.id &&
        row.timeUs > (best?.timeUs ?? -Infinity)
      )
        best = row;
    if (best !== null) found.push({ sensor, row: best });
  }
  if (found.length === 0) return null;
  const timeUs = Math.max(...found.map(({ row }) => row.timeUs));
  return {
    orderUs:
      known.lastSeenUs === 0 ? timeUs : orderOf(timeUs, known.lastSeenUs),
    offset: -1,
    timeUs,
    payload: JSON.stringify({
      schema: "v1",
      ts: toIso(timeUs),
      points: found.map(({ sensor, row }) => ({
        name: sensor.name,
        t: sensor.type,
        v:
          sensor.typeClass === "bool"
            ? row.value !== 0
            : (row.text ?? row.value),
        ...(sensor.unit === null ? {} : { u: sensor.unit }),
      })),
    }),
  };
}
