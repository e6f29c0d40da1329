/**
 * In-memory double of the TelemetryStore: the fence, rows, commands, acks, dead letters and devices as plain maps. Passes the
 * same conformance suite as the database.
 */
import { address as addressOf } from "../../src/domain/names.js";
import type {
  DeviceRef,
  LastState,
  Row,
  Sensor,
} from "../../src/domain/device.js";
import type {
  AckMessage,
  CommandRequest,
  DeadLetter,
  EventMessage,
  TypeClass,
} from "../../src/domain/message.js";
import { toIso } from "../../src/domain/time.js";
import {
  type CommandLife,
  hasEnded,
  liveOn,
  standsBefore,
  type Transition,
} from "../../src/adapters/timescale/command-life.js";
import {
  letterOfConflict,
  letterOfRefused,
} from "../../src/adapters/timescale/dead-letters.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  CommandState,
  Flush,
  FlushResult,
  RefusedRow,
  StoredDevice,
  TelemetryStore,
} from "../../src/ports.js";

export interface MemoryRow {
  readonly address: string;
  readonly name: string;
  readonly typeClass: TypeClass;
  readonly timeUs: number;
  readonly value: number | null;
  readonly text: string | null;
}
export interface MemoryFence {
  nextOffset: number;
  epoch: number;
  owner: string;
  clusterId: string | null;
  lastRecordMs: number | null;
}
export interface MemoryCommand {
  readonly address: string;
  readonly partition: number;
  readonly request: CommandRequest;
  readonly device: DeviceRef;
  state: CommandState;
  ok: boolean | null;
  err: string | null;
  readonly history: Transition[];
}
export interface MemoryAck {
  readonly ack: AckMessage;
  readonly late: boolean;
  readonly known: boolean;
}
export interface MemoryDevice {
  readonly ref: DeviceRef;
  partition: number;
  lastSeenUs: number;
  online: boolean;
  cause: string | null;
  untimed: readonly string[];
  quarantinedUntilMs: number;
  readonly sensors: Map<string, Sensor>;
}

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
}

interface Fault {
  readonly verb: keyof TelemetryStore | null;
  readonly when: FailWhen;
  readonly error: Error;
}

export function createMemoryStore(): MemoryStore {
  const fences = new Map<string, MemoryFence>();
  const devices = new Map<string, MemoryDevice>();
  const rows = new Map<string, { row: Row; kept: MemoryRow }>();
  const commands = new Map<string, MemoryCommand>();
  const acks = new Map<string, MemoryAck>();
  const letters = new Map<string, DeadLetter>();
  const events = new Map<string, EventMessage>();
  const gaps: { topic: string; partition: number; from: number; to: number }[] =
    [];
  const flushes: Flush[] = [];
  const faults: Fault[] = [];
  /** The last transaction of each partition: the row lock. */
  const locks = new Map<number, Promise<void>>();
  let tenants: ReadonlySet<string> = new Set(["default"]);
  let refusal: (row: Row) => string | null = () => null;
  let held: Promise<void> | null = null;
  let ids = 0;

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

  function fenceAnswer({
    fence,
    partition,
  }: Flush): "moved" | "already" | "elsewhere" | "lost" {
    const standing = fence.map((move) => {
      const row = fences.get(`${move.topic}/${partition}`);
      if (row === undefined || row.epoch < move.epoch) return "elsewhere";
      if (row.epoch > move.epoch) return "lost";
      if (row.nextOffset === move.from || row.nextOffset === -1) return "moved";
      return row.nextOffset === move.to ? "already" : "elsewhere";
    });
    if (standing.includes("lost")) return "lost";
    if (standing.includes("elsewhere")) return "elsewhere";
    // A topic that stays where it is fits both answers.
    return fence.some(
      (move, i) => standing[i] === "already" && move.from !== move.to,
    )
      ? "already"
      : "moved";
  }

  async function flush(
    batch: Flush,
    beforeCommit: (refused: readonly RefusedRow[]) => Promise<void>,
  ): Promise<FlushResult> {
    if (held !== null) await held;
    const fence = fenceAnswer(batch);
    if (fence !== "moved") return { fence };
    const judged = judgeRows(batch);
    await beforeCommit(judged.refused);
    return commit(batch, judged);
  }

  function judgeRows(batch: Flush) {
    const fresh = new Map<string, Row>();
    const conflicts: DeadLetter[] = [];
    const refused: RefusedRow[] = [];
    let duplicates = 0;
    for (const row of batch.changes.flatMap((change) => change.rows)) {
      if (row.sensor.id === 0)
        throw new Error(
          `sensor ${row.sensor.name} was not registered before its flush`,
        );
      const detail = refusal(row);
      if (detail !== null) {
        refused.push({ row, detail });
        continue;
      }
      const key = `${row.sensor.id}/${row.timeUs}`;
      const stands = rows.get(key)?.row ?? fresh.get(key);
      if (stands === undefined) fresh.set(key, row);
      else if (stands.value === row.value && stands.text === row.text)
        duplicates++;
      else
        conflicts.push(
          letterOfConflict({ row, value: stands.value, text: stands.text }),
        );
    }
    return { fresh, conflicts, refused, duplicates };
  }

  function commit(
    batch: Flush,
    judged: ReturnType<typeof judgeRows>,
  ): FlushResult {
    for (const move of batch.fence) {
      const row = fences.get(`${move.topic}/${batch.partition}`)!;
      row.owner = batch.owner;
      row.clusterId = batch.clusterId;
      if (move.to > move.from) {
        row.nextOffset = move.to;
        row.lastRecordMs = move.lastRecordMs;
      }
    }
    for (const [key, row] of judged.fresh)
      rows.set(key, {
        row,
        kept: {
          address: row.sensor.device.address,
          name: row.sensor.name,
          typeClass: row.sensor.typeClass,
          timeUs: row.timeUs,
          value: row.value,
          text: row.text,
        },
      });
    const queued = insertCommands(batch);
    const ended = moveCommands(batch);
    for (const {
      device,
      events: happened,
      untimed,
      quarantinedUntilMs,
    } of batch.changes) {
      for (const event of happened) {
        const key = `${device.equipmentId}/${event.timeUs}/${event.hash}`;
        if (!events.has(key)) events.set(key, event);
      }
      const known = devices.get(device.address);
      if (known === undefined) continue;
      if (untimed !== null) known.untimed = untimed;
      if (quarantinedUntilMs !== null)
        known.quarantinedUntilMs = quarantinedUntilMs;
    }
    for (const { device, seenUs, online, cause } of batch.presence) {
      const known = devices.get(device.address);
      if (known === undefined) continue;
      known.lastSeenUs = Math.max(known.lastSeenUs, seenUs);
      known.online = online;
      known.cause = cause;
      known.partition = batch.partition;
    }
    for (const letter of [
      ...batch.deadLetters,
      ...batch.changes.flatMap((change) => change.deadLetters),
      ...judged.conflicts,
      ...judged.refused.map(letterOfRefused),
    ]) {
      const { topic, partition, offset } = letter.source;
      const place = `${topic}/${partition}/${offset}/${letter.item}`;
      if (!letters.has(place)) letters.set(place, letter);
    }
    flushes.push(batch);
    const { duplicates, conflicts, refused } = judged;
    return {
      fence: "moved",
      stored: judged.fresh.size,
      duplicates,
      conflicts: conflicts.length,
      refused: refused.length,
      queued,
      ended,
      sawDuplicates: duplicates + conflicts.length > 0,
    };
  }

  function insertCommands(batch: Flush): CommandRequest[] {
    const queued: CommandRequest[] = [];
    for (const { device, commands: requests } of batch.changes)
      for (const request of requests) {
        if (commands.has(request.cmdId)) continue;
        queued.push(request);
        commands.set(request.cmdId, {
          address: device.address,
          partition: batch.partition,
          request,
          device,
          state: "queued",
          ok: null,
          err: null,
          history: [
            {
              state: "accepted",
              at: toIso(request.createdUs),
              evidence: "log",
            },
            { state: "queued", at: new Date().toISOString(), evidence: "row" },
          ],
        });
      }
    return queued;
  }

  function moveCommands(
    batch: Flush,
  ): { cmdId: string; state: CommandState }[] {
    const lives = new Map<string, CommandLife>(
      [...commands].map(([cmdId, { device, state, ok, err }]) => [
        cmdId,
        {
          tenant: device.tenant,
          deviceId: device.deviceId,
          state,
          ok,
          err,
          added: [],
        },
      ]),
    );
    const given = batch.changes.flatMap((change) => change.acks);
    for (const kept of liveOn(lives, batch.commandChanges, given)) {
      const key = `${kept.ack.address} ${kept.ack.cmdId}`;
      const standing = acks.get(key);
      if (standing === undefined || standsBefore(kept.ack, standing.ack))
        acks.set(key, kept);
    }
    const ended: { cmdId: string; state: CommandState }[] = [];
    for (const [cmdId, life] of lives) {
      if (life.added.length === 0) continue;
      const command = commands.get(cmdId)!;
      command.state = life.state;
      command.ok = life.ok;
      command.err = life.err;
      command.history.push(...life.added);
      if (hasEnded(life.state)) ended.push({ cmdId, state: life.state });
    }
    return ended;
  }

  function registerOne(ref: DeviceRef, partition: number): MemoryDevice {
    let known = devices.get(ref.address);
    if (known === undefined) {
      known = {
        ref: { ...ref, equipmentId: ++ids },
        partition,
        lastSeenUs: 0,
        online: false,
        cause: null,
        untimed: [],
        quarantinedUntilMs: 0,
        sensors: new Map(),
      };
      devices.set(ref.address, known);
    }
    ref.equipmentId = known.ref.equipmentId;
    return known;
  }

  function wakeOne(ref: DeviceRef): StoredDevice | null {
    const known = devices.get(ref.address);
    if (known === undefined) return null;
    ref.equipmentId = known.ref.equipmentId;
    const sensors = new Map<TypeClass, Map<string, Sensor>>();
    for (const sensor of known.sensors.values()) {
      const named = sensors.get(sensor.typeClass) ?? new Map<string, Sensor>();
      sensors.set(
        sensor.typeClass,
        named.set(sensor.name, { ...sensor, device: ref }),
      );
    }
    const { untimed, quarantinedUntilMs, lastSeenUs, online } = known;
    return {
      state: { device: ref, sensors, last: null, untimed, quarantinedUntilMs },
      lastSeenUs,
      online,
    };
  }

  function newestOf(ref: DeviceRef): LastState | null {
    const known = devices.get(ref.address);
    if (known === undefined) return null;
    const found: { sensor: Sensor; row: Row }[] = [];
    for (const sensor of known.sensors.values()) {
      let best: Row | null = null;
      for (const { row } of rows.values())
        if (
          row.sensor.id === sensor.id &&
          row.timeUs > (best?.timeUs ?? -Infinity)
        )
          best = row;
      if (best !== null) found.push({ sensor, row: best });
    }
    if (found.length === 0) return null;
    const timeUs = Math.max(...found.map(({ row }) => row.timeUs));
    return {
      orderUs:
        known.lastSeenUs === 0 ? timeUs : Math.min(timeUs, known.lastSeenUs),
      offset: -1,
      timeUs,
      payload: JSON.stringify({
        schema: "v1",
        ts: toIso(timeUs),
        points: found.map(({ sensor, row }) => ({
          name: sensor.name,
          t: sensor.type,
          v:
            sensor.typeClass === "bool"
              ? row.value !== 0
              : (row.text ?? row.value),
          ...(sensor.unit === null ? {} : { u: sensor.unit }),
        })),
      }),
    };
  }

  return {
    fences,
    devices,
    commandsById: commands,
    acks,
    letters,
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
          const stored = wakeOne(ref);
          if (stored !== null) woken.set(ref.address, stored);
        }
        return woken;
      }),
    newest: (refs) =>
      verb("newest", () => {
        const found = new Map<string, LastState>();
        for (const ref of refs) {
          const state = newestOf(ref);
          if (state !== null) found.set(ref.address, state);
        }
        return found;
      }),
    register: (partition, refs, sensors) =>
      verb("register", () => {
        for (const ref of refs) registerOne(ref, partition);
        for (const sensor of sensors) {
          const known = registerOne(sensor.device, partition);
          const key = `${sensor.typeClass} ${sensor.name}`;
          if (!known.sensors.has(key))
            known.sensors.set(key, { ...sensor, id: ++ids });
          sensor.id = known.sensors.get(key)!.id;
        }
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
          .map(({ device, request, state }) => ({
            device: {
              ...device,
              address: addressOf(device.tenant, device.deviceId),
            },
            request,
            state,
          })),
      ),
    onlineDevices: (partition) =>
      verb("onlineDevices", () =>
        [...devices.values()]
          .filter((device) => device.partition === partition && device.online)
          .map(({ ref, lastSeenUs }) => ({ device: { ...ref }, lastSeenUs })),
      ),
    tenants: () => verb("tenants", () => tenants),
    noteGap: (topic, partition, from, to) =>
      verb("noteGap", () => {
        gaps.push({ topic, partition, from, to });
      }),
    maintain: () => verb("maintain", () => undefined),
    ping: () => verb("ping", () => undefined),
    close: async () => {},
  };
}
