/** Plausible values: slow waves with a little noise, so that a graph of a simulated device looks like a device. */
import type { Random } from "./random.js";

/** What a device says of one of its points. `json` is the value as JSON text. */
export interface Sample {
  readonly name: string;
  readonly type: string;
  readonly unit: string | null;
  readonly json: string;
}

/** How one device differs from its neighbours. */
export interface Temper {
  /** Radians. */
  readonly phase: number;
  readonly periodSeconds: number;
}

interface Gauge {
  readonly name: string;
  readonly type: string;
  readonly unit: string | null;
  /** `wave` is -1 to 1, `noise` 0 to 1. */
  json(wave: number, noise: number): string;
}

const GAUGES: readonly Gauge[] = [
  {
    name: "temperature",
    type: "float",
    unit: "°C",
    json: (wave, noise) => hundredths(6 + 3 * wave + 0.4 * noise),
  },
  {
    name: "status",
    type: "enum",
    unit: null,
    json: (wave, noise) =>
      noise > 0.995 ? '"ALARM"' : wave > -0.6 ? '"RUN"' : '"STOP"',
  },
  {
    name: "compressor_on",
    type: "bool",
    unit: null,
    json: (wave) => (wave > 0 ? "true" : "false"),
  },
  {
    name: "pressure",
    type: "num",
    unit: "bar",
    json: (wave, noise) => hundredths(4.2 + 0.8 * wave + 0.1 * noise),
  },
  {
    name: "humidity",
    type: "float",
    unit: "%",
    json: (wave, noise) => hundredths(55 - 15 * wave + 2 * noise),
  },
  {
    name: "fan_rpm",
    type: "int",
    unit: "1/min",
    json: (wave, noise) => String(Math.round(1200 + 300 * wave + 20 * noise)),
  },
  {
    name: "door_open",
    type: "bool",
    unit: null,
    json: (_wave, noise) => (noise > 0.97 ? "true" : "false"),
  },
  {
    name: "mode",
    type: "text",
    unit: null,
    json: (wave) => (wave > 0.5 ? '"boost"' : '"eco"'),
  },
];

export function temperOf(random: Random): Temper {
  return {
    phase: random() * 2 * Math.PI,
    periodSeconds: 300 + random() * 3300,
  };
}

/** The first `count` points of a device at a time (microseconds); from the ninth on the names get a number. */
export function samplesAt(
  timeUs: number,
  count: number,
  temper: Temper,
  random: Random,
): Sample[] {
  const angle =
    (timeUs / 1e6 / temper.periodSeconds) * 2 * Math.PI + temper.phase;
  const samples: Sample[] = [];
  for (let i = 0; i < count; i += 1) {
    const gauge = GAUGES[i % GAUGES.length]!;
    const round = Math.floor(i / GAUGES.length);
    samples.push({
      name: round === 0 ? gauge.name : `${gauge.name}_${round + 1}`,
      type: gauge.type,
      unit: gauge.unit,
      json: gauge.json(Math.sin(angle + i), random()),
    });
  }
  return samples;
}

function hundredths(value: number): string {
  return String(Math.round(value * 100) / 100);
}
