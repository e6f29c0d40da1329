/** The tables of deploy/capacity.md, from the kept results: what things cost, and what a fleet needs by that. Pure. */
import type { BenchResult } from "./bench.js";
import { table } from "./pages.js";

/** A device's messages a second and points a message, of the fleets of the page. */
const PER_SECOND = 1 / 60;
const POINTS = 4;
const FLEETS = [10_000, 100_000, 1_000_000];
const DAY = 86_400;
const LOG_DAYS = 7;
/** A process is planned to use so much of its core: the rest is for a backlog after an outage, and for peaks. */
const PLANNED = 0.5;
/** Device to broker, broker to bridge, bridge to log, log to processor, processor to Redis: about the same bytes each time. */
const HOPS = 5;

interface Source {
  /** Which figure of which question. */
  readonly from: string;
  readonly of: RegExp;
  readonly what: string;
  readonly name: string;
  readonly unit: string;
}
const SOURCES = {
  processor: cpu("drain", "process", "processor"),
  redis: cpu("drain", "redis", "Redis"),
  database: cpu("drain", "database", "database"),
  log: cpu("drain", "log", "log, reading"),
  bridge: live("bridge"),
  broker: live("broker"),
  actor: {
    from: "actors",
    of: /./,
    what: "bytes resident a live actor",
    name: "live actor",
    unit: "bytes",
  },
  shown: {
    from: "disk",
    of: /history/,
    what: "bytes of Redis a device",
    name: "device in Redis, 300 messages of history",
    unit: "bytes",
  },
  row: {
    from: "disk",
    of: /row each/,
    what: "bytes a row, with its index",
    name: "row with its index",
    unit: "bytes",
  },
  packed: {
    from: "disk",
    of: /row each/,
    what: "bytes a row, in the columnstore",
    name: "row in the columnstore",
    unit: "bytes",
  },
  record: {
    from: "drain",
    of: /^1,000 devices × 4 points/,
    what: "bytes a record",
    name: "record of the log, 4 points",
    unit: "bytes",
  },
} as const satisfies Record<string, Source>;
type Name = keyof typeof SOURCES;

function cpu(from: string, part: string, name: string): Source {
  return {
    from,
    of: /^1,000 devices × 4 points/,
    what: `µs of CPU a message, ${part}`,
    name: `message of 4 points, ${name}`,
    unit: "µs of CPU",
  };
}
function live(part: string): Source {
  return {
    from: "sustained",
    of: /./,
    what: `µs of CPU a message, ${part}`,
    name: `message of 4 points, ${part}`,
    unit: "µs of CPU",
  };
}

interface Found {
  readonly value: number;
  readonly run: string;
}

const grouped = (value: number, digits = 3): string =>
  value >= 1000
    ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(digits)));

function bytes(value: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  let size = value;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000;
  return `${Number(size.toPrecision(2))} ${units[unit]}`;
}

/** Both tables as Markdown. What was not measured yet is called so, and what follows from it too. */
export function capacityTables(results: readonly BenchResult[]): {
  costs: string;
  fleets: string;
} {
  const found = new Map<Name, Found>();
  for (const [name, { from, of, what }] of Object.entries(SOURCES) as [
    Name,
    Source,
  ][]) {
    const result = results.find(({ question }) => question === from);
    const figure = result?.figures.find(
      (one) => one.what === what && of.test(one.of),
    );
    if (result === undefined || figure === undefined) continue;
    const run = `${from}, ${result.at.slice(0, 10)}, commit ${result.commit}, load ${result.machine.load[0]}`;
    found.set(name, { value: figure.ours.median, run });
  }
  const costs = table(
    ["what", "takes", "", "run"],
    (Object.entries(SOURCES) as [Name, Source][]).map(
      ([name, { name: shown, unit }]) => {
        const at = found.get(name);
        return at === undefined
          ? [shown, "not measured yet", "", ""]
          : [shown, grouped(at.value), unit, at.run];
      },
    ),
  );
  const of = (name: Name): number => found.get(name)?.value ?? Number.NaN;
  const or = (value: number, show: (value: number) => string): string =>
    Number.isNaN(value) ? "–" : show(value);
  const cores = (rate: number, ...names: Name[]) =>
    (rate * names.reduce((sum, name) => sum + of(name), 0)) / 1e6;
  const processes = (rate: number, name: Name) =>
    Math.max(1, Math.ceil(cores(rate, name) / PLANNED));
  const lines: [string, (devices: number, rate: number) => string][] = [
    [
      "messages/s, readings/s",
      (_, rate) => `${grouped(rate)}, ${grouped(rate * POINTS)}`,
    ],
    ["cores, processors", (_, rate) => or(cores(rate, "processor"), grouped)],
    [
      "processors at half a core",
      (_, rate) => or(processes(rate, "processor"), grouped),
    ],
    [
      "cores, bridges and broker",
      (_, rate) => or(cores(rate, "bridge", "broker"), grouped),
    ],
    ["cores, database", (_, rate) => or(cores(rate, "database"), grouped)],
    [
      "cores, Redis (one thread)",
      (_, rate) => or(cores(rate, "redis"), grouped),
    ],
    ["cores, log", (_, rate) => or(cores(rate, "log"), grouped)],
    ["memory of live actors", (devices) => or(devices * of("actor"), bytes)],
    ["Redis", (devices) => or(devices * of("shown"), bytes)],
    ["rows a day", (_, rate) => grouped(rate * POINTS * DAY)],
    [
      "disk a day, as rows",
      (_, rate) => or(rate * POINTS * DAY * of("row"), bytes),
    ],
    [
      "disk a day, columnstore",
      (_, rate) => or(rate * POINTS * DAY * of("packed"), bytes),
    ],
    [
      "log, 7 days, one copy",
      (_, rate) => or(rate * of("record") * DAY * LOG_DAYS, bytes),
    ],
    [
      "partitions at least",
      (_, rate) => or(Math.max(12, 4 * processes(rate, "processor")), grouped),
    ],
    [
      "network, all hops",
      (_, rate) =>
        or(rate * of("record") * HOPS, (value) => `${bytes(value)}/s`),
    ],
  ];
  const fleets = table(
    ["", ...FLEETS.map((devices) => `${grouped(devices)} devices`)],
    lines.map(([name, cell]) => [
      name,
      ...FLEETS.map((devices) => cell(devices, devices * PER_SECOND)),
    ]),
  );
  return { costs, fleets };
}
