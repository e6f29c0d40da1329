/**
 * The cold stage: what Redis has answered for gathers, and a flush takes all of it into one database transaction, then
 * tells the consumer group. One flush is in flight a lane, the next gathers.
 */
import { isCancel } from "../domain/command-life.js";
import type { DeviceRef, Sensor, StoreChange } from "../domain/device.js";
import type { CommandRequest } from "../domain/message.js";
import type {
  Clock,
  CommandChange,
  CommandState,
  FenceMove,
  FirstWord,
  Flush,
  FlushResult,
  LogWriter,
  Observer,
  PresenceChange,
  TelemetryStore,
  ToJudge,
  Tracer,
} from "../ports.js";
import { deadLetterProducer } from "./dead-letters.js";
import { reportFlush } from "./flush-report.js";
import { traceFlush } from "./lane-trace.js";
import type { Patiently } from "./patience.js";
import type { Prepared } from "./prepare.js";

/** Where one topic of the lane is stored, and by which claim. */
export interface Stored {
  readonly topic: string;
  epoch: number;
  offset: number;
  lastRecordMs: number | null;
}

/** What one flush took, once it is stored. */
export interface Taken {
  readonly prepared: readonly Prepared[];
  readonly changes: readonly StoreChange[];
  readonly queued: readonly { device: DeviceRef; request: CommandRequest }[];
  /** Commands whose condition holds. */
  readonly judged: readonly string[];
  readonly ended: readonly { cmdId: string; state: CommandState }[];
  /** The result of this flush is unknown, an earlier try had been committed: look the commands up. */
  readonly unknown: boolean;
}

export interface FlusherDeps {
  readonly partition: number;
  readonly owner: string;
  readonly clusterId: string;
  readonly store: TelemetryStore;
  readonly deadLetters: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly patiently: Patiently;
  /** By topic, in topic order; moved as flushes commit. */
  readonly stored: readonly Stored[];
  readonly batchSize: number;
  readonly batchMs: number;
  readonly presence: (changes: readonly StoreChange[]) => PresenceChange[];
  readonly flushed: (taken: Taken) => void;
  readonly tracer?: Tracer | undefined;
  /** The fence is not ours any more, or a flush failed for good. */
  readonly lost: (why: "elsewhere" | "lost" | Error) => void;
}

export interface Flusher {
  gather(prepared: Prepared): void;
  /** Changes that come from no record: a command's evidence, a device fallen silent. */
  add(
    commands: readonly CommandChange[],
    presence: readonly PresenceChange[],
  ): void;
  /** A command to be sent if its condition holds once the next flush has stored what it takes. */
  judge(one: ToJudge): void;
  /** A quiet lane looks at its fence every so often: an operator may have moved it, or another process claimed it. */
  lookAtFence(): void;
  /** Waits for a flush in flight; none starts until `resume`. */
  hold(): Promise<void>;
  resume(): void;
  /** Flushes all that has gathered and waits for it. */
  drain(): Promise<void>;
  /** Nothing more is flushed. */
  end(): void;
}

/** A flush before its devices are registered. */
type Gathered = Omit<Flush, "introduced">;

const NOBODY: ReadonlySet<number> = new Set();
const NO_WORD: FirstWord = { presence: null, firmware: null };

/** How often a quiet lane looks at its fence. */
const FENCE_MS = 5000;

export function createFlusher(deps: FlusherDeps): Flusher {
  const { partition, store, observer, clock, patiently } = deps;
  let gathered: Prepared[] = [];
  let messages = 0;
  let commands: CommandChange[] = [];
  let presence: PresenceChange[] = [];
  let toJudge: ToJudge[] = [];
  let timer: NodeJS.Timeout | null = null;
  let due = false;
  let held = false;
  let ended = false;
  let inFlight: Promise<void> | null = null;
  let expectDuplicates = false;
  let flushedMs = clock();

  const empty = (): boolean =>
    gathered.length === 0 &&
    commands.length === 0 &&
    presence.length === 0 &&
    toJudge.length === 0;

  function kick(): void {
    if (ended || empty()) return;
    if (messages >= deps.batchSize) due = true;
    if (due && inFlight === null && !held) {
      start();
    } else if (!due && timer === null) {
      timer = setTimeout(() => {
        timer = null;
        due = true;
        kick();
      }, deps.batchMs);
    }
  }

  function start(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    due = false;
    inFlight = flushAll()
      .catch((error: unknown) => {
        if (!ended)
          deps.lost(error instanceof Error ? error : new Error(String(error)));
      })
      .finally(() => {
        inFlight = null;
        kick();
      });
  }

  async function flushAll(): Promise<void> {
    const prepared = gathered;
    const changes = prepared.flatMap((one) => one.store);
    const traced = traceFlush(deps.tracer, prepared, partition);
    const flush: Gathered = {
      partition,
      owner: deps.owner,
      clusterId: deps.clusterId,
      fence: deps.stored.map((at) => moveOf(at, prepared)),
      changes,
      deadLetters: prepared.flatMap((one) => one.deadLetters),
      replays: prepared.flatMap((one) => one.replays),
      commandChanges: commands,
      toJudge,
      presence: [...presence, ...deps.presence(changes)],
      expectDuplicates,
      ...(traced.begin && { step: traced.begin }),
    };
    gathered = [];
    messages = 0;
    commands = [];
    presence = [];
    toJudge = [];
    const startedMs = clock();
    flushedMs = startedMs;
    const result = await traced.step("transaction", async () => {
      const introduced = await patiently(() => register(flush));
      const whole: Flush = { ...flush, introduced };
      const produce = deadLetterProducer(deps.deadLetters, clock, whole);
      return patiently(() => store.flush(whole, produce));
    });
    traced.end();
    if (ended) return;
    if (result.fence === "elsewhere" || result.fence === "lost") {
      deps.lost(result.fence);
      return;
    }
    for (const [i, at] of deps.stored.entries()) {
      at.offset = flush.fence[i]!.to;
      at.lastRecordMs = flush.fence[i]!.lastRecordMs;
    }
    if (result.fence === "moved") expectDuplicates = result.sawDuplicates;
    if (prepared.length > 0)
      reportFlush(observer, clock(), { prepared, flush, result, startedMs });
    deps.flushed(takenBy(prepared, flush, result));
  }

  /** Devices and sensors that the database does not know yet get their ids, before the flush and apart from it. */
  async function register(flush: Gathered): Promise<ReadonlySet<number>> {
    const devices = new Set<DeviceRef>();
    const sensors = new Set<Sensor>();
    const words = new Map<string, FirstWord>();
    const note = (device: DeviceRef, word: Partial<FirstWord>): void => {
      devices.add(device);
      const before = words.get(device.address) ?? NO_WORD;
      words.set(device.address, { ...before, ...word });
    };
    for (const { device, rows, firmware } of flush.changes) {
      if (device.equipmentId === 0)
        note(device, firmware === null ? {} : { firmware });
      for (const { sensor } of rows) if (sensor.id === 0) sensors.add(sensor);
    }
    for (const presence of flush.presence)
      if (presence.device.equipmentId === 0)
        note(presence.device, { presence });
    for (const { device } of sensors)
      if (device.equipmentId === 0) devices.add(device);
    if (devices.size + sensors.size === 0) return NOBODY;
    return store.register(partition, [...devices], [...sensors], words);
  }

  return {
    gather(prepared) {
      gathered.push(prepared);
      messages += prepared.slice.records.length;
      kick();
    },
    add(moreCommands, morePresence) {
      commands.push(...moreCommands);
      presence.push(...morePresence);
      kick();
    },
    judge(one) {
      toJudge.push(one);
      kick();
    },
    lookAtFence() {
      if (ended || held || inFlight !== null) return;
      if (clock() - flushedMs >= FENCE_MS) start();
    },
    async hold() {
      held = true;
      await inFlight;
    },
    resume() {
      held = false;
      kick();
    },
    async drain() {
      while (!ended && (inFlight !== null || !empty())) {
        if (inFlight === null) start();
        await inFlight;
      }
    },
    end() {
      ended = true;
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  };
}

function moveOf(at: Stored, prepared: readonly Prepared[]): FenceMove {
  const last = prepared.findLast((one) => one.slice.topic === at.topic);
  return {
    topic: at.topic,
    epoch: at.epoch,
    from: at.offset,
    to: last?.slice.to ?? at.offset,
    lastRecordMs: last?.lastRecordMs ?? at.lastRecordMs,
  };
}

function takenBy(
  prepared: readonly Prepared[],
  flush: Gathered,
  result: FlushResult,
): Taken {
  const queued: { device: DeviceRef; request: CommandRequest }[] = [];
  if (result.fence === "moved" && result.queued.length > 0) {
    const inserted = new Set(result.queued.map((request) => request.cmdId));
    for (const { device, commands } of flush.changes)
      for (const order of commands)
        if (!isCancel(order) && inserted.delete(order.cmdId))
          queued.push({ device, request: order });
  }
  return {
    prepared,
    changes: flush.changes,
    queued,
    judged: result.fence === "moved" ? result.judged : [],
    ended: result.fence === "moved" ? result.ended : [],
    unknown: result.fence === "already",
  };
}
