/**
 * What devices write: the dialects of the contracts (1.1), and poison that must end as a dead letter. Every payload holds
 * `seq` and `boot` in some form, so that a checker can tell each message again from what was stored of it: as points in
 * the normalised and plain dialects, within `fw` in parsec, which has room for nothing else.
 */
import { toIso } from "../domain/time.js";
import type { DeadLetterReason } from "../errors.js";
import type { Random } from "./random.js";
import type { Sample } from "./values.js";

export const DIALECTS = ["normalised", "plain", "parsec", "hello"] as const;
export type Dialect = (typeof DIALECTS)[number];

/** What is told, whatever the dialect. */
export interface Report {
  readonly seq: number;
  /** Tells this run of a device from its others: the run's start, Unix milliseconds. */
  readonly boot: number;
  /** Device time as JSON text, in the device's own way of writing it. */
  readonly ts: string;
  readonly samples: readonly Sample[];
}

/** How a device writes its time. Whole milliseconds, but for `iso-micros`. */
export const CLOCK_STYLES = [
  "iso-millis",
  "iso-micros",
  "unix-millis",
  "unix-seconds",
] as const;
export type ClockStyle = (typeof CLOCK_STYLES)[number];

/** A time (microseconds) as JSON text. */
export function timeText(timeUs: number, style: ClockStyle): string {
  const ms = Math.floor(timeUs / 1000);
  switch (style) {
    case "iso-millis":
    case "iso-micros":
      return `"${toIso(timeUs)}"`;
    case "unix-millis":
      return String(ms);
    case "unix-seconds":
      return `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, "0")}`;
    default:
      return style satisfies never;
  }
}

export function normalised(report: Report): string {
  let points = `{"name":"seq","t":"int","v":${report.seq}},{"name":"boot","t":"int","v":${report.boot}}`;
  for (const { name, type, unit, json } of report.samples)
    points += `,{"name":"${name}","t":"${type}","v":${json}${unit === null ? "" : `,"u":"${unit}"`}}`;
  return `{"schema":"v1","ts":${report.ts},"points":[${points}],"meta":{"fw":"1.2.3"}}`;
}

/** A JSON object of the device's own; what it measures is nested, and becomes points named `sensors.…`. */
export function plain(report: Report): string {
  let leaves = "";
  for (const { name, json } of report.samples)
    leaves += `${leaves === "" ? "" : ","}"${name}":${json}`;
  return `{"timestamp":${report.ts},"seq":${report.seq},"boot":${report.boot},"sensors":{${leaves}}}`;
}

/** Points `status`, `fault` and `rssi`, whatever the number asked for. */
export const PARSEC_POINTS = 3;
export function parsec(report: Report, random: Random): string {
  const running = random() < 0.8 ? 1 : 0;
  const fault = random() < 0.02 ? 1 : 0;
  const rssi = -40 - Math.floor(random() * 50);
  return `{"schema":"parsec_v1","ts":${report.ts},"di1":${running},"di2":${fault},"rssi":${rssi},"fw":"1.2.3+${report.boot}.${report.seq}"}`;
}

export function hello(report: Report): string {
  return `{"seq":${report.seq},"boot":${report.boot}}`;
}

interface Poison {
  readonly reason: DeadLetterReason;
  bytes(report: Report): string | Buffer;
}

const point = (name: string, json: string | number, type = "int") =>
  `{"name":"${name}","t":"${type}","v":${json}}`;
const identity = ({ seq, boot }: Report) =>
  `${point("seq", seq)},${point("boot", boot)}`;
const message = (report: Report, extra: string, ts = report.ts) =>
  `{"schema":"v1","ts":${ts},"points":[${identity(report)},${extra}]}`;

/** Each must be refused whole, for this reason. */
export const POISONS: Readonly<Record<string, Poison>> = {
  "broken JSON": {
    reason: "parse_error",
    bytes: (report) => normalised(report).slice(0, -20),
  },
  "not UTF-8": {
    reason: "parse_error",
    bytes: (report) =>
      Buffer.concat([
        Buffer.from(`{"seq":${report.seq},"boot":${report.boot},"name":"`),
        Buffer.from([0xff, 0xfe, 0xc3]),
        Buffer.from('"}'),
      ]),
  },
  "an array": {
    reason: "invalid_schema",
    bytes: (report) => `[${report.seq},${report.boot}]`,
  },
  "no time": {
    reason: "invalid_schema",
    bytes: (report) => `{"schema":"v1","points":[${identity(report)}]}`,
  },
  "no points": {
    reason: "invalid_schema",
    bytes: (report) =>
      `{"schema":"v1","ts":${report.ts},"points":[],"meta":{"seq":${report.seq},"boot":${report.boot}}}`,
  },
  "a value of another type": {
    reason: "invalid_schema",
    bytes: (report) => message(report, point("temperature", '"hot"', "float")),
  },
  "an unknown type": {
    reason: "invalid_schema",
    bytes: (report) => message(report, point("temperature", 1, "complex")),
  },
  "an infinity": {
    reason: "invalid_schema",
    bytes: (report) => message(report, point("temperature", "1e999", "float")),
  },
  "a NUL in text": {
    reason: "invalid_schema",
    bytes: (report) =>
      message(report, point("mode", String.raw`"a\u0000b"`, "text")),
  },
  "an unknown schema": {
    reason: "unknown_schema",
    bytes: (report) =>
      `{"schema":"parsec_v9","ts":${report.ts},"seq":${report.seq},"boot":${report.boot}}`,
  },
  "a time long past": {
    reason: "bad_timestamp",
    bytes: (report) =>
      message(report, point("temperature", 1, "num"), '"1999-12-31T23:59:59Z"'),
  },
};
const POISON_LIST = Object.values(POISONS);

export function poison(
  report: Report,
  random: Random,
): { reason: DeadLetterReason; bytes: Buffer } {
  const chosen = POISON_LIST[Math.floor(random() * POISON_LIST.length)]!;
  const bytes = chosen.bytes(report);
  return {
    reason: chosen.reason,
    bytes: typeof bytes === "string" ? Buffer.from(bytes) : bytes,
  };
}
