/** What `twinstream simulate` is asked for, read from words and checked as a whole. Pure. */
import { isSegment } from "../domain/names.js";
import { IDENTITY_POINTS } from "./device-turns.js";
import type { Backlog, Mix } from "./fleet.js";
import { DIALECTS, type Dialect } from "./payloads.js";

export interface SimulateOptions {
  readonly devices: number;
  readonly rate?: number;
  /** Seconds. */
  readonly duration?: number;
  readonly messages?: number;
  readonly mix: Mix;
  readonly outOfOrder: number;
  readonly duplicates: number;
  readonly poison: number;
  readonly points: number;
  readonly connections?: number;
  readonly inFlight?: number;
  readonly qos: number;
  readonly seed: number;
  /** Microseconds since the Unix epoch. */
  readonly start?: number;
  readonly tenant?: string;
  readonly site?: string;
  readonly prefix: string;
  readonly answerCommands: boolean;
  readonly ledger?: string;
  readonly drain: number;
  readonly json?: boolean;
  readonly mqtt?: string;
  readonly replay?: string;
  readonly device?: string;
  /** File of the devices' log-ins. */
  readonly credentials?: string;
  /** Seconds. */
  readonly uploadEvery?: number;
  readonly uploadUrl?: string;
  readonly uploadUser?: string;
  /** Of a drill; no word asks for it. */
  readonly backlog?: Backlog | undefined;
  readonly speed: number;
  readonly point: string;
  readonly unit?: string;
}

/** Longest prefix: the rest of a segment is the number. */
const MAX_PREFIX = 110;
const SECONDS = { s: 1, m: 60, h: 3600 } as const;

/** Each reads one option's word. @throws RangeError that says what it may be */
export const read = {
  whole:
    (least: number, most: number) =>
    (text: string): number => {
      const value = Number(text);
      if (!/^\d+$/.test(text) || value < least || value > most)
        throw new RangeError(`It must be a whole number, ${least} to ${most}.`);
      return value;
    },
  number: (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < 0)
      throw new RangeError("It must be a number, 0 or more.");
    return value;
  },
  share: (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0 && value <= 1))
      throw new RangeError("It must be a share, 0 to 1.");
    return value;
  },
  /** Seconds: `90`, `90s`, `1.5m`, `2h`. */
  duration: (text: string): number => {
    const [, digits, unit = "s"] = /^(\d+(?:\.\d+)?)([smh])?$/.exec(text) ?? [];
    if (digits === undefined || Number(digits) === 0)
      throw new RangeError("It must be a time like 30s, 5m or 1h.");
    return Number(digits) * SECONDS[unit as keyof typeof SECONDS];
  },
  mix: (text: string): Mix => {
    const mix: Record<Dialect, number> = {
      normalised: 0,
      plain: 0,
      parsec: 0,
      hello: 0,
    };
    for (const part of text.split(",")) {
      const [, name, weight] = /^\s*(\w+)=(\d+(?:\.\d+)?)\s*$/.exec(part) ?? [];
      if (!(DIALECTS as readonly string[]).includes(name ?? ""))
        throw new RangeError(
          `It must be weights like normalised=70,hello=30, of ${DIALECTS.join(", ")}.`,
        );
      mix[name as Dialect] = Number(weight);
    }
    if (DIALECTS.every((dialect) => mix[dialect] === 0))
      throw new RangeError("One weight at least must be above 0.");
    return mix;
  },
  segment: (text: string): string => {
    if (!isSegment(text))
      throw new RangeError(
        "It must be 1 to 128 characters of A-Z a-z 0-9 . _ : -",
      );
    return text;
  },
  url: (text: string): string => {
    if (!/^https?:\/\//.test(text) || !URL.canParse(text))
      throw new RangeError("It must be a URL like http://127.0.0.1:8000.");
    return text;
  },
  time: (text: string): number => {
    const ms = Date.parse(text);
    if (Number.isNaN(ms))
      throw new RangeError("It must be a time like 2025-10-07T15:30:00Z.");
    return ms * 1000;
  },
} as const;

/** What does not go together, in one line; null when all does. */
export function conflictIn(options: SimulateOptions): string | null {
  const { devices, connections, replay } = options;
  if (options.prefix.length > MAX_PREFIX)
    return `--prefix may have ${MAX_PREFIX} characters at most, for the number to fit`;
  if (
    connections !== undefined &&
    connections > devices &&
    replay === undefined
  )
    return `--connections ${connections} is more than --devices ${devices}; a device has one connection`;
  if (options.credentials !== undefined && connections !== undefined)
    return "--connections and --credentials do not go together: a device that logs in as itself has its own";
  if (options.poison + options.duplicates > 1)
    return "--poison and --duplicates are shares of the same messages and may be 1 together at most";
  if ((options.tenant === undefined) !== (options.site === undefined))
    return "--tenant and --site go together: a tenant's topics have both";
  if (options.points < IDENTITY_POINTS)
    return `--points must be ${IDENTITY_POINTS} at least: seq and boot are among them`;
  if (
    options.uploadEvery === undefined &&
    (options.uploadUrl ?? options.uploadUser) !== undefined
  )
    return "--upload-url and --upload-user go with --upload-every";
  return null;
}
