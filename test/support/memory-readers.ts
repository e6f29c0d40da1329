/** In-memory doubles of what the gateway stands on. `fail` makes every call of a double fail with that error. */
import { address } from "../../src/domain/names.js";
import { toSeconds } from "../../src/domain/time.js";
import type { TwinstreamError } from "../../src/errors.js";
import type { LastState } from "../../src/domain/device.js";
import type {
  AcceptedCommand,
  CommandRecord,
  DeviceRecord,
  DeviceRecords,
  DeviceViewReader,
  LogWriter,
  Observer,
  OutgoingRecord,
  TelemetryEvent,
} from "../../src/ports.js";

interface Failing {
  fail: TwinstreamError | Error | null;
}

export interface MemoryView extends DeviceViewReader, Failing {
  /** By tenant, then device: Unix seconds. A tenant that is not there has no online set. */
  readonly onlineSets: Map<string, Map<string, number>>;
  readonly lasts: Map<string, { payload: string; timestamp: number }>;
  /** By address: full messages' JSON, in any order. */
  readonly histories: Map<string, string[]>;
  readonly accepted: Map<string, AcceptedCommand>;
  /** Names of the calls made. */
  readonly calls: string[];
}

export function createMemoryView(): MemoryView {
  const onlineSets = new Map<string, Map<string, number>>();
  const lasts = new Map<string, { payload: string; timestamp: number }>();
  const histories = new Map<string, string[]>();
  const accepted = new Map<string, AcceptedCommand>();
  const calls: string[] = [];
  const called = (name: string): void => {
    calls.push(name);
    if (view.fail !== null) throw view.fail;
  };
  const view: MemoryView = {
    fail: null,
    onlineSets,
    lasts,
    histories,
    accepted,
    calls,
    async last(at) {
      called("last");
      return lasts.get(at) ?? null;
    },
    async history(at, fromS, toS, offset, limit) {
      called("history");
      const scored = (histories.get(at) ?? []).map((member) => ({
        member,
        score: (JSON.parse(member) as { timestamp: number }).timestamp,
      }));
      // As a sorted set does: by score, then by the member's bytes.
      scored.sort(
        (a, b) => a.score - b.score || (a.member < b.member ? -1 : 1),
      );
      return scored
        .filter(({ score }) => score >= fromS && score <= toS)
        .slice(offset, offset + limit)
        .map(({ member }) => member);
    },
    async online(tenant, sinceS) {
      called("online");
      const set = onlineSets.get(tenant);
      if (set === undefined) return null;
      return [...set]
        .filter(([, seenS]) => seenS >= sinceS)
        .map(([deviceId, seenS]) => ({ deviceId, seenS }));
    },
    async seen(tenant, deviceIds) {
      called("seen");
      const set = onlineSets.get(tenant);
      return set === undefined
        ? null
        : deviceIds.map((deviceId) => set.get(deviceId) ?? null);
    },
    async rememberCommand(at, command) {
      called("rememberCommand");
      accepted.set(`${at} ${command.cmdId}`, command);
    },
    async acceptedCommand(at, cmdId) {
      called("acceptedCommand");
      return accepted.get(`${at} ${cmdId}`) ?? null;
    },
    async ping() {
      called("ping");
    },
    async close() {},
  };
  return view;
}

export interface MemoryRecords extends DeviceRecords, Failing {
  readonly known: DeviceRecord[];
  readonly given: CommandRecord[];
  /** By address. */
  readonly newestStates: Map<string, LastState>;
  readonly calls: string[];
}

export function createMemoryRecords(): MemoryRecords {
  const known: DeviceRecord[] = [];
  const given: CommandRecord[] = [];
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
    async ping() {
      called("ping");
    },
    async close() {},
  };
  return records;
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
