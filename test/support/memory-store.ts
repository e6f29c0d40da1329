/**
 * In-memory double of the TelemetryStore: the fence, rows, commands, acks, dead letters and devices as plain maps. Passes the
 * same conformance suite as the database.
 */
import { address as addressOf } from "../../src/domain/names.js";
import type { LastState, Row } from "../../src/domain/device.js";
import type { DeadLetter, EventMessage } from "../../src/domain/message.js";
import { hasEnded } from "../../src/domain/command-life.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  Flush,
  FlushResult,
  RefusedRow,
  StoredDevice,
  TelemetryStore,
} from "../../src/ports.js";
import { newestOf, registerOne, wakeOne } from "./memory-store-devices.js";
import { commit, fenceAnswer, judgeRows } from "./memory-store-flush.js";
import {
  createMemoryState,
  type MemoryAck,
  type MemoryCommand,
  type MemoryDevice,
  type MemoryFence,
  type MemoryRow,
} from "./memory-store-state.js";

/** When a failure strikes: before anything is done, or after the COMMIT, whose answer is lost. */
export type FailWhen = "before" | "after";

export interface MemoryStore extends TelemetryStore {
  /** By `topic/partition`. */
  readonly fences: ReadonlyMap<string, MemoryFence>;
  /** In the order in which they were stored. */
  rows(): MemoryRow[];
  /** By address. */
  readonly devices: ReadonlyMap<string, MemoryDevice>;
  /** By command id. */
  readonly commandsById: ReadonlyMap<string, MemoryCommand>;
  /** By `address cmdId`. */
  readonly acks: ReadonlyMap<string, MemoryAck>;
  /** By `topic/partition/offset/item`. */
  readonly letters: ReadonlyMap<string, DeadLetter>;
  /** Those whose replay took effect. */
  readonly replayed: ReadonlySet<string>;
  /** By `equipment/time/hash`. */
  readonly events: ReadonlyMap<string, EventMessage>;
  readonly gaps: readonly {
    topic: string;
    partition: number;
    from: number;
    to: number;
  }[];
  /** Flushes that committed, oldest first. */
  readonly flushes: readonly Flush[];
  /** The next `calls` of any verb (or of one) fail; STORE_UNREACHABLE unless given. */
  failNext(options?: {
    calls?: number;
    verb?: keyof TelemetryStore;
    when?: FailWhen;
    error?: Error;
  }): void;
  /** Rows for which this answers a reason are refused, as a constraint would. */
  refuse(judge: (row: Row) => string | null): void;
  /** Flushes wait, their locks held, until the returned function is called. */
  hold(): () => void;
  setTenants(names: readonly string[]): void;
  /** Registers the device of this address with an adapter; null ends it. */
  setAdapter(address: string, name: string | null): void;
}

interface Fault {
  readonly verb: keyof TelemetryStore | null;
  readonly when: FailWhen;
  readonly error: Error;
}

export function createMemoryStore(): MemoryStore {
  const state = createMemoryState();
  const {
    fences,
    devices,
    rows,
    commands,
    acks,
    letters,
    replayed,
    events,
    flushes,
  } = state;
  const gaps: { topic: string; partition: number; from: number; to: number }[] =
    [];
  const faults: Fault[] = [];
  /** The last transaction of each partition: the row lock. */
  const locks = new Map<number, Promise<void>>();
  let tenants: ReadonlySet<string> = new Set(["default"]);
  let refusal: (row: Row) => string | null = () => null;
  let held: Promise<void> | null = null;

  async function verb<T>(
    name: keyof TelemetryStore,
    work: () => T | Promise<T>,
  ): Promise<T> {
    await Promise.resolve(); // a database never answers in the same turn
    const fault = takeFault(name);
    if (fault?.when === "before") throw fault.error;
    const answer = await work();
    if (fault !== null) throw fault.error;
    return answer;
  }
  function takeFault(name: keyof TelemetryStore): Fault | null {
    const place = faults.findIndex(
      (fault) => fault.verb === null || fault.verb === name,
    );
    return place === -1 ? null : faults.splice(place, 1)[0]!;
  }

  async function locked<T>(
    partition: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const before = locks.get(partition) ?? Promise.resolve();
    const mine = before.then(work);
    locks.set(
      partition,
      mine.then(
        () => undefined,
        () => undefined,
      ),
    );
    return mine;
  }

  async function flush(
    batch: Flush,
    beforeCommit: (refused: readonly RefusedRow[]) => Promise<void>,
  ): Promise<FlushResult> {
    if (held !== null) await held;
    const fence = fenceAnswer(state, batch);
    if (fence !== "moved") return { fence };
    const judged = judgeRows(state, batch, refusal);
    await beforeCommit(judged.refused);
    return commit(state, batch, judged);
  }

  return {
    fences,
    devices,
    commandsById: commands,
    acks,
    letters,
    replayed,
    events,
    gaps,
    flushes,
    rows: () => [...rows.values()].map(({ kept }) => kept),
    failNext({ calls = 1, verb: name, when = "before", error } = {}) {
      for (let call = 0; call < calls; call++)
        faults.push({
          verb: name ?? null,
          when,
          error:
            error ??
            new TwinstreamError(
              "STORE_UNREACHABLE",
              "the test has cut the database off",
            ),
        });
    },
    refuse(judge) {
      refusal = judge;
    },
    hold() {
      let release = () => {};
      held = new Promise((resolve) => {
        release = resolve;
      });
      return () => {
        held = null;
        release();
      };
    },
    setTenants(names) {
      tenants = new Set(names);
    },
    setAdapter(address, name) {
      if (name === null) state.adapters.delete(address);
      else state.adapters.set(address, name);
    },

    claim: (topics, partition, owner) =>
      verb("claim", () =>
        locked(partition, async () =>
          topics.map((topic) => {
            const key = `${topic}/${partition}`;
            const row = fences.get(key) ?? {
              nextOffset: -1,
              epoch: 0,
              owner,
              clusterId: null,
              lastRecordMs: null,
            };
            fences.set(key, row);
            row.epoch++;
            row.owner = owner;
            const { nextOffset, epoch, clusterId, lastRecordMs } = row;
            return { topic, nextOffset, epoch, clusterId, lastRecordMs };
          }),
        ),
      ),
    wake: (refs) =>
      verb("wake", () => {
        const woken = new Map<string, StoredDevice>();
        for (const ref of refs) {
          const stored = wakeOne(state, ref);
          if (stored !== null) woken.set(ref.address, stored);
        }
        return woken;
      }),
    newest: (refs) =>
      verb("newest", () => {
        const found = new Map<string, LastState>();
        for (const ref of refs) {
          const last = newestOf(state, ref);
          if (last !== null) found.set(ref.address, last);
        }
        return found;
      }),
    register: (partition, refs, sensors, firstWords) =>
      verb("register", () => {
        const made = new Set<number>();
        for (const ref of refs) {
          const isNew = !state.devices.has(ref.address);
          const known = registerOne(state, ref, partition);
          if (!isNew) continue;
          made.add(known.ref.equipmentId);
          const word = firstWords?.get(ref.address);
          known.firmware = word?.firmware ?? null;
          known.lastSeenUs = word?.presence?.seenUs ?? 0;
          known.online = word?.presence?.online ?? false;
          known.cause = word?.presence?.cause ?? null;
        }
        for (const sensor of sensors) {
          const known = registerOne(state, sensor.device, partition);
          const key = `${sensor.typeClass} ${sensor.name}`;
          if (!known.sensors.has(key))
            known.sensors.set(key, { ...sensor, id: ++state.lastId });
          const stored = known.sensors.get(key)!;
          sensor.id = stored.id;
          if (stored.unit === null)
            known.sensors.set(key, { ...stored, unit: sensor.unit });
        }
        return made;
      }),
    flush: (batch, beforeCommit) =>
      verb("flush", () =>
        locked(batch.partition, () => flush(batch, beforeCommit)),
      ),
    openCommands: (partition) =>
      verb("openCommands", () =>
        [...commands.values()]
          .filter(
            (command) =>
              command.partition === partition && !hasEnded(command.state),
          )
          .sort(
            (a, b) =>
              a.request.createdUs - b.request.createdUs ||
              (a.request.cmdId < b.request.cmdId ? -1 : 1),
          )
          .map(({ device, request, state, judged }) => ({
            device: {
              ...device,
              address: addressOf(device.tenant, device.deviceId),
            },
            request,
            state,
            judged,
          })),
      ),
    onlineDevices: (partition) =>
      verb("onlineDevices", () =>
        [...devices.values()]
          .filter((device) => device.partition === partition && device.online)
          .map(({ ref, lastSeenUs }) => ({ device: { ...ref }, lastSeenUs })),
      ),
    tenants: () => verb("tenants", () => tenants),
    registeredAdapters: () =>
      verb("registeredAdapters", () => new Map(state.adapters)),
    noteGap: (topic, partition, from, to) =>
      verb("noteGap", () => {
        gaps.push({ topic, partition, from, to });
      }),
    maintain: () => verb("maintain", () => undefined),
    ping: () => verb("ping", () => undefined),
    close: async () => {},
  };
}
