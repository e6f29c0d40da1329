/** From the options to a run: a fleet of the seed's making, or a replayed series. */
import { readFile } from "node:fs/promises";
import { TwinstreamError, reasonOf } from "../errors.js";
import { type Home, fleetIds, simulatedDevice } from "./devices.js";
import { type Ledger, openLedger } from "./ledger.js";
import type { DeviceLogIn } from "./log-ins.js";
import { type LoadSettings, runLoad } from "./load.js";
import type { SimulateOptions } from "./options.js";
import { planFor } from "./plan.js";
import { deviceOfFile, parseSeries, replayPlan } from "./replay.js";
import type { Progress, Summary } from "./tally.js";
import {
  type RunningUploads,
  startUploads,
  type UploadSettings,
  type UploadTally,
} from "./uploads.js";

/** Beside the messages; null where nothing is uploaded. */
export interface Uploading {
  readonly uploads: UploadTally | null;
}

export interface Surroundings {
  /** URL of the broker. */
  readonly mqttUrl: string;
  /** MQTT_TENANT_PREFIX. */
  readonly tenantPrefix: string;
  /** By device id; without it all log in with what the URL has. */
  readonly logIns?: ReadonlyMap<string, DeviceLogIn> | undefined;
  /** Of the devices, where they are not numbered: as many as there are devices. */
  readonly ids?: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly progress: (progress: Progress & Uploading) => void;
  /** Where uploads go, when there are to be some. */
  readonly gateway?: Pick<UploadSettings, "url" | "account"> | undefined;
  /** Something that the user should know, in a line. */
  readonly notice: (text: string) => void;
}

/** Connections without being asked; beyond it devices share. */
const OWN_CONNECTIONS = 500;
/** Messages without an answer on a connection: of a device of its own, and of one that devices share. */
const IN_FLIGHT = { own: 20, shared: 256 };

type Fleet = Pick<LoadSettings, "devices" | "connections" | "plan">;

/** @throws TwinstreamError BROKER_UNREACHABLE, CONFIG_INVALID, BAD_REQUEST (a file that cannot be read or written) */
export async function simulate(
  options: SimulateOptions,
  around: Surroundings,
): Promise<Summary & Uploading> {
  const fleet =
    options.replay === undefined
      ? simulatedFleet(options, around)
      : await replayedDevice(options.replay, options, around);
  const shared = fleet.connections < fleet.devices.length;
  if (shared)
    around.notice(
      `${fleet.devices.length} devices share ${fleet.connections} connections, about ${Math.ceil(fleet.devices.length / fleet.connections)} on each`,
    );
  const ledger =
    options.ledger === undefined
      ? null
      : await usingFile(options.ledger, "written", openLedger);
  let summary: Summary;
  const uploads = uploadsOf(options, around, fleet, ledger);
  const uploading = () => ({ uploads: uploads?.tally() ?? null });
  try {
    summary = await runLoad({
      ...fleet,
      url: around.mqttUrl,
      logIns: around.logIns ?? new Map(),
      clientId: `${options.prefix}connection-`,
      qos: options.qos === 0 ? 0 : 1,
      inFlight: options.inFlight ?? (shared ? IN_FLIGHT.shared : IN_FLIGHT.own),
      seed: options.seed,
      startUs: options.start ?? null,
      seconds: options.duration ?? Infinity,
      drainSeconds: options.drain,
      answerCommands: options.answerCommands,
      ledger,
      signal: around.signal,
      progress: (at) => around.progress({ ...at, ...uploading() }),
    });
    await uploads?.stop(options.drain);
  } catch (error) {
    await uploads?.stop(0);
    // The run's own failure is the one to tell, and often the ledger's too.
    await ledger?.close().catch(() => undefined);
    throw error;
  }
  if (options.ledger !== undefined)
    await usingFile(options.ledger, "written", async () => ledger?.close());
  return { ...summary, ...uploading() };
}

function uploadsOf(
  options: SimulateOptions,
  around: Surroundings,
  { devices }: Fleet,
  ledger: Ledger | null,
): RunningUploads | null {
  if (options.uploadEvery === undefined || around.gateway === undefined)
    return null;
  return startUploads({
    ...around.gateway,
    everySeconds: options.uploadEvery,
    deviceIds: devices.map(({ deviceId }) => deviceId),
    ledger,
    notice: around.notice,
  });
}

function simulatedFleet(options: SimulateOptions, around: Surroundings): Fleet {
  const rate = options.rate ?? options.devices;
  const paced =
    rate > 0 && options.duration !== undefined
      ? Math.floor(rate * options.duration)
      : Infinity;
  const home = homeOf(options, around);
  return {
    devices: (around.ids ?? fleetIds(options.prefix, options.devices)).map(
      (id) => simulatedDevice(id, home),
    ),
    connections:
      options.connections ??
      (around.logIns === undefined
        ? Math.min(options.devices, OWN_CONNECTIONS)
        : options.devices),
    plan: (startUs, devices) =>
      planFor(
        {
          seed: options.seed,
          devices: options.devices,
          startUs,
          rate,
          messages: Math.min(paced, options.messages ?? Infinity),
          mix: options.mix,
          outOfOrder: options.outOfOrder,
          duplicates: options.duplicates,
          poison: options.poison,
          points: options.points,
          tenants: home.tenant !== null,
          backlog: options.backlog,
        },
        devices,
      ),
  };
}

async function replayedDevice(
  path: string,
  options: SimulateOptions,
  around: Surroundings,
): Promise<Fleet> {
  const text = await usingFile(path, "read", (file) => readFile(file, "utf8"));
  const rows = await usingFile(path, "read", async () => parseSeries(text));
  const id = options.device ?? deviceOfFile(path);
  return {
    devices: [simulatedDevice(id, homeOf(options, around))],
    connections: 1,
    plan: () =>
      replayPlan(rows, {
        point: options.point,
        unit: options.unit ?? null,
        speed: options.speed,
      }),
  };
}

function homeOf({ tenant, site }: SimulateOptions, around: Surroundings): Home {
  return {
    tenant:
      tenant === undefined || site === undefined
        ? null
        : { name: tenant, site },
    tenantPrefix: around.tenantPrefix,
  };
}

async function usingFile<T>(
  path: string,
  what: "read" | "written",
  use: (path: string) => Promise<T>,
): Promise<T> {
  try {
    return await use(path);
  } catch (error) {
    throw new TwinstreamError(
      "BAD_REQUEST",
      `${path} cannot be ${what}: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}
