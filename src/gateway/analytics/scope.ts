/** What a question comes to: which sensors, how finely, and how often they usually speak. */
import type { SensorRecord } from "../../ports.js";
import { type GatewayDeps } from "../deps.js";
import { refusal } from "../problems.js";
import type { HistoryQuestion } from "./question.js";
import {
  finestLevel,
  type Level,
  type Rhythm,
  rhythmOf,
  TIMES_LOOKED_AT,
} from "./resolution.js";

export type AnalyticsDeps = Pick<
  GatewayDeps,
  "analytics" | "view" | "clock"
> & {
  readonly settings: Pick<
    GatewayDeps["settings"],
    "historyHours" | "rawRetentionDays"
  >;
};

export interface Scope {
  readonly tenant: string;
  readonly deviceId: string;
  /** Its name, as an upload gave it. */
  readonly deviceName: string | null;
  readonly level: Level;
  /** By id; at most SENSORS_AT_ONCE. */
  readonly sensors: readonly SensorRecord[];
  /** By sensor id; empty for raw readings. */
  readonly rhythms: ReadonlyMap<number, Rhythm>;
  /** Sensors of these have no figures, since they hold texts. */
  readonly leftOut: readonly string[];
  /** The device's first sensor that is not in `sensors`; null when all are. */
  readonly nextSensorId: number | null;
}

/** A device may have a hundred thousand sensors; so many are read and shown together. */
const SENSORS_AT_ONCE = 100;
const DAY_US = 86_400_000_000;

/** @throws DEVICE_UNKNOWN, NOT_FOUND for a sensor, BAD_REQUEST for figures of texts */
export async function readScope(
  deps: AnalyticsDeps,
  tenant: string,
  deviceId: string,
  question: HistoryQuestion,
): Promise<Scope> {
  const { names, after } = question;
  const found = await deps.analytics.equipment(tenant, deviceId, {
    names,
    afterId: after === null ? 0 : after.sensorId - 1,
    limit: SENSORS_AT_ONCE + 1,
  });
  if (found === null)
    throw refusal(
      "DEVICE_UNKNOWN",
      `no device ${deviceId} has been stored; GET /devices?all=1 lists those that have`,
    );
  if (after === null) mustBeThere(names, found.sensors, deviceId);
  const sensors = found.sensors.slice(0, SENSORS_AT_ONCE);
  const times =
    question.resolution === "raw"
      ? new Map<number, number[]>()
      : await deps.analytics.newestTimes(
          tenant,
          sensors.map(({ id }) => id),
          rhythmBeforeUs(deps, question),
          TIMES_LOOKED_AT,
        );
  const rhythms = new Map(
    sensors.map(({ id }) => [id, rhythmOf(times.get(id) ?? [])]),
  );
  const level = levelOf(deps, question, sensors, [...rhythms.values()]);
  const isShown = ({ typeClass }: SensorRecord) =>
    level === "raw" || typeClass !== "text";
  return {
    tenant,
    deviceId,
    deviceName: found.name,
    level,
    sensors: sensors.filter(isShown),
    rhythms,
    leftOut: sensors.filter((one) => !isShown(one)).map(({ name }) => name),
    nextSensorId: found.sensors[SENSORS_AT_ONCE]?.id ?? null,
  };
}

function mustBeThere(
  names: HistoryQuestion["names"],
  sensors: readonly SensorRecord[],
  deviceId: string,
): void {
  const known = new Set(sensors.map(({ name }) => name));
  const missing = (names ?? []).filter((name) => !known.has(name));
  if (missing.length > 0)
    throw refusal(
      "NOT_FOUND",
      `device ${deviceId} has no sensor ${missing.map((name) => JSON.stringify(name)).join(", ")}; without \`sensor\` all of them are shown`,
      missing.map((name) => ({
        path: "query.sensor",
        reason: `no sensor of this name: ${name}`,
      })),
    );
}

function levelOf(
  deps: AnalyticsDeps,
  { resolution, fromUs, toUs, names }: HistoryQuestion,
  sensors: readonly SensorRecord[],
  rhythms: readonly Rhythm[],
): Level {
  const areTexts =
    sensors.length > 0 &&
    sensors.every(({ typeClass }) => typeClass === "text");
  if (resolution === "auto")
    return areTexts
      ? "raw"
      : finestLevel(fromUs, toUs, rhythms, rawFromUs(deps));
  if (resolution !== "raw" && areTexts && names !== null)
    throw refusal(
      "BAD_REQUEST",
      "texts have no figures by hour or day; ask for them with resolution=raw",
      [{ path: "query.resolution", reason: "must be raw for texts" }],
    );
  return resolution;
}

/** Raw rows are kept from here on. */
const rawFromUs = ({ clock, settings }: AnalyticsDeps): number =>
  settings.rawRetentionDays === 0
    ? -Infinity
    : clock() * 1000 - settings.rawRetentionDays * DAY_US;

/** The rhythm at the range's end; today's when the raw rows of that time are gone. */
function rhythmBeforeUs(
  deps: AnalyticsDeps,
  { toUs }: HistoryQuestion,
): number {
  const nowUs = deps.clock() * 1000;
  return toUs <= rawFromUs(deps) ? nowUs : Math.min(toUs, nowUs);
}
