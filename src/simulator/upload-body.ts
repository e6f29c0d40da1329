/** What a fleet uploads: what some of its devices have measured once a second, kept until then. Pure. */
import { toIso } from "../domain/time.js";

/** Devices that upload at most: each minute brings 60 readings of each of their sensors. */
const UPLOADERS = 10;
/** Milliseconds that one upload looks back at most, after a gateway that was away for long. */
const LONGEST_MS = 600_000;
const SECOND_MS = 1000;

/** Names that no message uses, so that an upload never meets another value at its instant. */
const SENSORS = [
  {
    sensor_uuid: "logged_temperature",
    sensor_tipo: "temperatura",
    mean: 22,
    swing: 4,
    periodS: 900,
  },
  {
    sensor_uuid: "logged_vibration",
    sensor_tipo: "vibracao",
    mean: 1,
    swing: 0.5,
    periodS: 45,
  },
] as const;

export interface UploadBody {
  readonly text: string;
  readonly readings: number;
}

/**
 * Each second from `fromMs`, or later if that is long ago, up to `toMs` (Unix milliseconds, excluded). A value hangs on
 * device and time alone, so that seconds that are uploaded twice are duplicates and no conflicts.
 */
export function uploadBody(
  deviceIds: readonly string[],
  fromMs: number,
  toMs: number,
): UploadBody {
  const seconds: number[] = [];
  const earliest = Math.max(fromMs, toMs - LONGEST_MS);
  for (
    let ms = Math.ceil(earliest / SECOND_MS) * SECOND_MS;
    ms < toMs;
    ms += SECOND_MS
  )
    seconds.push(ms);
  const equipments = deviceIds.slice(0, UPLOADERS).map((id, device) => ({
    equip_uuid: id,
    equip_nome: `Simulated ${id}`,
    sensor: SENSORS.flatMap(
      ({ sensor_uuid, sensor_tipo, mean, swing, periodS }) =>
        seconds.map((ms) => ({
          sensor_uuid,
          sensor_tipo,
          valor: thousandth(
            mean +
              swing * Math.sin((2 * Math.PI * ms) / 1000 / periodS + device),
          ),
          timestamp: toIso(ms * 1000),
        })),
    ),
  }));
  return {
    text: JSON.stringify(equipments),
    readings: equipments.reduce((sum, { sensor }) => sum + sensor.length, 0),
  };
}

const thousandth = (value: number): number => Math.round(value * 1000) / 1000;
