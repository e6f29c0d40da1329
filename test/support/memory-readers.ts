/**
 * In-memory doubles of what the gateway stands on. `fail` makes every call of a double fail with that error; `calls` are the
 * names of the calls made. The view is the one that passes the conformance suite.
 */
import type { LastState } from "../../src/domain/device.js";
import { address } from "../../src/domain/names.js";
import { parseSeconds, toSeconds } from "../../src/domain/time.js";
import type { TwinstreamError } from "../../src/errors.js";
import { hasEnded } from "../../src/domain/command-life.js";
import type {
  Clock,
  CommandKeys,
  CommandRecord,
  DeviceRecord,
  EventPlace,
  EventRecord,
  DeviceRecords,
  DeviceViewReader,
  KeyedCommand,
  KeyPlace,
  LogWriter,
  Observer,
  OutgoingRecord,
  TelemetryEvent,
  ViewWrite,
} from "../../src/ports.js";
import { createMemoryDeviceView } from "./memory-view.js";

interface Failing {
  fail: TwinstreamError | Error | null;
}

export interface MemoryReader extends DeviceViewReader, Failing {
  readonly calls: string[];
  /** Puts devices of tenant `default` into the online set: Unix seconds by device id. */
  putOnline(seenS: Readonly<Record<string, number>>): Promise<void>;
  putLast(
    deviceId: string,
    last: { payload: string; timestamp: number },
  ): Promise<void>;
  /** Full messages' JSON, in any order. */
  putHistory(deviceId: string, messages: readonly string[]): Promise<void>;
}

/** Long enough for the double to trim nothing: what the gateway leaves out, it leaves out itself. */
const HISTORY_SECONDS = 1e8;

export function createMemoryReader(clock: Clock): MemoryReader {
  const { view, reader } = createMemoryDeviceView({
    historySeconds: HISTORY_SECONDS,
    clock,
  });
  const calls: string[] = [];
  const told = (name: string): void => {
    calls.push(name);
    if (memory.fail !== null) throw memory.fail;
  };
  const put = async (
    deviceId: string,
    change: Partial<ViewWrite["changes"][number]>,
  ): Promise<void> => {
    const device = {
      address: deviceId,
      tenant: "default",
      deviceId,
      site: null,
      equipmentId: 0,
    };
    const none = {
      history: [],
      publish: [],
      last: null,
      seenUs: 0,
      gone: null,
    };
    const changes = [{ device, ...none, ...change }];
    await view.write({ changes, publish: false, mark: null });
  };
  const memory: MemoryReader = {
    fail: null,
    calls,
    last: async (...given) => (told("last"), reader.last(...given)),
    history: async (...given) => (told("history"), reader.history(...given)),
    online: async (...given) => (told("online"), reader.online(...given)),
    seen: async (...given) => (told("seen"), reader.seen(...given)),
    heardSince: async (...given) => (
      told("heardSince"),
      reader.heardSince(...given)
    ),
    lastMessages: async (...given) => (
      told("lastMessages"),
      reader.lastMessages(...given)
    ),
    horizon: () => reader.horizon(),
    rememberCommand: async (...given) => (
      told("rememberCommand"),
      reader.rememberCommand(...given)
    ),
    acceptedCommand: async (...given) => (
      told("acceptedCommand"),
      reader.acceptedCommand(...given)
    ),
    ping: async () => told("ping"),
    close: async () => undefined,
    async putOnline(seenS) {
      for (const [deviceId, seconds] of Object.entries(seenS))
        await put(deviceId, { seenUs: parseSeconds(seconds) });
    },
    async putLast(deviceId, { payload, timestamp }) {
      const timeUs = parseSeconds(timestamp);
      await put(deviceId, {
        last: { orderUs: timeUs, offset: 0, timeUs, payload },
      });
    },
    async putHistory(deviceId, messages) {
      const history = messages.map((member) => ({
        member,
        score: (JSON.parse(member) as { timestamp: number }).timestamp,
      }));
      await put(deviceId, { history });
    },
  };
  return memory;
}

export interface MemoryRecords extends DeviceRecords, Failing {
  readonly known: DeviceRecord[];
  readonly given: CommandRecord[];
  /** By address. */
  readonly happened: Map<string, EventRecord[]>;
  /** By address. */
  readonly newestStates: Map<string, LastState>;
  readonly calls: string[];
}

export function createMemoryRecords(): MemoryRecords {
  const known: DeviceRecord[] = [];
  const given: CommandRecord[] = [];
  const happened = new Map<string, EventRecord[]>();
  const newestStates = new Map<string, LastState>();
  const calls: string[] = [];
  const called = (name: string): void => {
    calls.push(name);
    if (records.fail !== null) throw records.fail;
  };
  const records: MemoryRecords = {
    fail: null,
    known,
    given,
    happened,
    newestStates,
    calls,
    async devices(tenant, { onlineSinceUs, after, limit }) {
      called("devices");
      return known
        .filter(
          (device) =>
            device.tenant === tenant &&
            (after === null || device.deviceId > after) &&
            (onlineSinceUs === null ||
              (device.online && device.lastSeenUs >= onlineSinceUs)),
        )
        .toSorted((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
        .slice(0, limit);
    },
    async device(tenant, deviceId) {
      called("device");
      return (
        known.find(
          (device) => device.tenant === tenant && device.deviceId === deviceId,
        ) ?? null
      );
    },
    async newest(tenant, deviceId) {
      called("newest");
      return newestStates.get(address(tenant, deviceId)) ?? null;
    },
    async events(tenant, deviceId, { fromUs, toUs, before, limit }) {
      called("events");
      const found = (happened.get(address(tenant, deviceId)) ?? [])
        .filter(({ timeUs }) => timeUs >= fromUs && timeUs <= toUs)
        .toSorted((a, b) => (isBefore(a, b) ? 1 : -1))
        .filter((event) => before === null || isBefore(event, before));
      return { events: found.slice(0, limit), more: found.length > limit };
    },
    async commands(_tenant, deviceId, { before, limit }) {
      called("commands");
      return given
        .filter(
          (command) =>
            command.deviceId === deviceId &&
            (before === null || command.cmdId < before),
        )
        .toSorted((a, b) => (a.cmdId < b.cmdId ? 1 : -1))
        .slice(0, limit);
    },
    async command(_tenant, deviceId, cmdId) {
      called("command");
      return (
        given.find(
          (command) => command.deviceId === deviceId && command.cmdId === cmdId,
        ) ?? null
      );
    },
    async endedCommands(_tenant, cmdIds) {
      called("endedCommands");
      return new Set(
        given
          .filter(
            ({ cmdId, state }) => cmdIds.includes(cmdId) && hasEnded(state),
          )
          .map(({ cmdId }) => cmdId),
      );
    },
    async ping() {
      called("ping");
    },
    async close() {},
  };
  return records;
}

const isBefore = (a: EventPlace, b: EventPlace): boolean =>
  a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.hash < b.hash);

export function createMemoryCommandKeys(): CommandKeys {
  const kept = new Map<string, KeyedCommand>();
  const nameOf = (place: KeyPlace): string => JSON.stringify(place);
  const standing = (place: KeyPlace, sinceMs: number): KeyedCommand | null => {
    const found = kept.get(nameOf(place));
    return found === undefined || found.createdMs < sinceMs ? null : found;
  };
  return {
    find: async (place, sinceMs) => standing(place, sinceMs),
    async take(place, command, sinceMs) {
      const stands = standing(place, sinceMs) ?? command;
      kept.set(nameOf(place), stands);
      return stands;
    },
    close: async () => undefined,
  };
}

export interface MemoryLog extends LogWriter, Failing {
  readonly appended: { topic: string; record: OutgoingRecord }[];
}

export function createMemoryLog(): MemoryLog {
  const appended: MemoryLog["appended"] = [];
  const log: MemoryLog = {
    fail: null,
    appended,
    async append(topic, records) {
      if (log.fail !== null) throw log.fail;
      for (const record of records) appended.push({ topic, record });
    },
  };
  return log;
}

export function createMemoryObserver(): Observer & {
  readonly events: TelemetryEvent[];
} {
  const events: TelemetryEvent[] = [];
  return { events, emit: (event) => void events.push(event) };
}

/** A full message as the history holds it. */
export const fullMessage = (
  deviceId: string,
  timeUs: number,
  payload: unknown,
): string =>
  JSON.stringify({
    device_id: deviceId,
    payload,
    timestamp: toSeconds(timeUs),
  });
