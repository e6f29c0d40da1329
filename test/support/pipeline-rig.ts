/**
 * The whole pipeline over in-memory doubles: a log, a view, a store and a command link that outlive the processors working
 * on them, so that a test can end one in any way and start the next. Intervals are milliseconds where they are seconds in
 * production; every port of a processor can be cut at once, which is what its death looks like to the others.
 */
import { createActorSystem } from "../../actors/system.js";
import { createDecoder } from "../../src/domain/decode.js";
import { deviceReducer, type ApplyMessages } from "../../src/domain/decide.js";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import type { LogHeaders, LogRecord } from "../../src/domain/message.js";
import {
  appliedKey,
  TOPIC,
  type EnvelopeKind,
} from "../../src/domain/names.js";
import type { TelemetryEvent } from "../../src/ports.js";
import {
  createProcessor,
  type Processor,
  type ProcessorDeps,
  type ProcessorSettings,
} from "../../src/pipeline/processor.js";
import { LANE_TOPICS } from "../../src/pipeline/lane-deps.js";
import { breakable, type Breakable } from "./breakable.js";
import { createMemoryLink } from "./memory-link.js";
import { createMemoryLog } from "./memory-log.js";
import { createMemoryStore } from "./memory-store.js";
import { createMemoryDeviceView } from "./memory-view.js";
import { until } from "./wait.js";

/** The numbers [from, to). */
export const upTo = (to: number, from = 0): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

export const GROUP = "twinstream-processor";
const HOUR_US = 3_600_000_000;
const RULES = { historyUs: 5 * HOUR_US, tenantPrefix: "traksense" };
const PATIENCE_MS = 5000;

export interface RigOptions {
  readonly partitions?: number;
  /** Records of a fetched batch, at most. */
  readonly batchRecords?: number;
  readonly clusterId?: string;
}

export interface ProcessorOptions {
  readonly settings?: Partial<ProcessorSettings>;
  /** Stands in for the device's own reducer. */
  readonly reducer?: (own: ApplyMessages) => ApplyMessages;
  /** Consumer group; one of its own makes a processor that nobody tells of the others. */
  readonly group?: string;
  /** Hears each event before it is kept; what it throws, the observer throws. */
  readonly hear?: (event: TelemetryEvent) => void;
  /** Ports that stand in for the rig's. */
  readonly ports?: Partial<ProcessorDeps>;
}

export interface Running {
  readonly processor: Processor;
  readonly events: readonly TelemetryEvent[];
  /** Events of one type. */
  of<T extends TelemetryEvent["type"]>(
    type: T,
  ): Extract<TelemetryEvent, { type: T }>[];
  /** Why it gave itself up; null while it has not. */
  readonly gaveUp: string | null;
  /** Ends as on SIGTERM. */
  stop(): Promise<void>;
  /** Ends as on SIGKILL: from here on none of its calls reaches anything, and the group deals its partitions to others. */
  kill(): Promise<void>;
}

export type Rig = ReturnType<typeof createRig>;

/** Runs a test on a rig, and ends whatever it started. */
export async function withRig(
  use: (rig: Rig) => Promise<void>,
  options: RigOptions = {},
): Promise<void> {
  const rig = createRig(options);
  try {
    await use(rig);
  } finally {
    await rig.end();
  }
}

function createRig(options: RigOptions) {
  const partitions = options.partitions ?? 1;
  let skewMs = 0;
  const clock = (): number => Date.now() + skewMs;
  const log = createMemoryLog({
    partitions,
    now: clock,
    clusterId: options.clusterId ?? "log-1",
    batchRecords: options.batchRecords ?? 500,
  });
  const view = createMemoryDeviceView({
    historySeconds: RULES.historyUs / 1e6,
    offlineAfterSeconds: 60,
    clock,
  });
  const store = createMemoryStore();
  const link = createMemoryLink();
  const decoder = createDecoder({
    tenants: new Set(["default"]),
    futureUs: 24 * HOUR_US,
    earliestUs: Date.UTC(2000, 0, 1) * 1000,
    retentionUs: null,
    tenantPrefix: RULES.tenantPrefix,
    partitions,
  });
  const started: Running[] = [];
  let owners = 0;
  /** Keeps arrivals within one millisecond apart: a sensor has one value per instant. */
  let serial = 0;

  async function start(over: ProcessorOptions = {}): Promise<Running> {
    const events: TelemetryEvent[] = [];
    const observer = {
      emit(event: TelemetryEvent) {
        over.hear?.(event);
        events.push(event);
      },
    };
    let ended = false;
    let gaveUp: string | null = null;
    const feed = log.feed(over.group ?? GROUP, LANE_TOPICS);
    const lifelines: Breakable<object>[] = [];
    const mortal = <T extends object>(port: T): T => {
      const lifeline = breakable(port, () => new Error("called by the dead"));
      lifelines.push(lifeline);
      return lifeline.port;
    };
    const own = deviceReducer(RULES);
    const ports = {
      feed,
      log: log.inspector,
      deadLetters: log.writer,
      store,
      view: view.view,
      link: link.link,
      ...over.ports,
    };
    const processor = createProcessor({
      feed: mortal(ports.feed),
      log: mortal(ports.log),
      deadLetters: mortal(ports.deadLetters),
      store: mortal(ports.store),
      view: mortal(ports.view),
      link: mortal(ports.link),
      actors: createActorSystem({
        applyMessages: over.reducer?.(own) ?? own,
        tenantPrefix: RULES.tenantPrefix,
        observer,
      }),
      observer,
      clock,
      decode: (topic) =>
        topic === TOPIC.commands ? decoder.decodeCommand : decoder.decode,
      rules: RULES,
      settings: {
        owner: `processor-${++owners}`,
        group: GROUP,
        batchSize: 50,
        batchMs: 2,
        offlineAfterMs: 60_000,
        actorIdleMs: 900_000,
        queueMessages: 100_000,
        queueBytes: 64 * 1024 * 1024,
        liveActors: 10_000,
        watchdogMs: 60_000,
        tickMs: 5,
        refusedMs: 10,
        backoff: { firstMs: 1, maxMs: 4, factor: 2, jitter: 0.5 },
        ...over.settings,
      },
      giveUp: (reason) => {
        gaveUp = reason;
      },
    });
    const end = async (deadlineMs: number): Promise<void> => {
      if (ended) return;
      ended = true;
      await processor.stop(deadlineMs);
    };
    const running: Running = {
      processor,
      events,
      of: (type) =>
        events.filter(
          (event): event is Extract<TelemetryEvent, { type: typeof type }> =>
            event.type === type,
        ),
      get gaveUp() {
        return gaveUp;
      },
      stop: () => end(PATIENCE_MS),
      kill: () => {
        for (const lifeline of lifelines) lifeline.break();
        return end(0);
      },
    };
    started.push(running);
    await processor.start();
    return running;
  }

  /** Puts one message of a device on the log, as the bridge does. */
  async function produce(
    deviceId: string,
    payload: object | string,
    more: {
      kind?: EnvelopeKind;
      arrivalMs?: number;
      headers?: LogHeaders;
    } = {},
  ): Promise<void> {
    const text =
      typeof payload === "string" ? payload : JSON.stringify(payload);
    const value = encodeEnvelope({
      tenant: "default",
      deviceId,
      site: null,
      kind: more.kind ?? "data",
      payload: Buffer.from(text),
      arrivalMs: more.arrivalMs ?? clock() + (serial++ % 1000) / 1000,
    });
    const record = { key: deviceId, value, headers: more.headers ?? {} };
    await log.writer.append(TOPIC.data, [record]);
  }

  /** Readings [from, to) of dev-1, by their numbers. */
  async function produceMany(from: number, to: number): Promise<void> {
    for (let n = from; n < to; n++) await produce("dev-1", { n });
  }

  /** Puts a command on the log, as the gateway does. */
  async function command(
    deviceId: string,
    cmdId: string,
    lifeMs = 60_000,
    more: object = {},
  ): Promise<void> {
    const nowMs = clock();
    const value = JSON.stringify({
      kind: "command",
      device_id: deviceId,
      cmd_id: cmdId,
      op: "start",
      ts: new Date(nowMs).toISOString(),
      expires_at: new Date(nowMs + lifeMs).toISOString(),
      ...more,
    });
    await log.writer.append(TOPIC.commands, [
      { key: deviceId, value: Buffer.from(value) },
    ]);
  }

  async function cancel(deviceId: string, cmdId: string): Promise<void> {
    const value = JSON.stringify({
      kind: "cancel",
      device_id: deviceId,
      cmd_id: cmdId,
      by: "ana",
      ts: new Date(clock()).toISOString(),
    });
    await log.writer.append(TOPIC.commands, [
      { key: deviceId, value: Buffer.from(value) },
    ]);
  }

  const records = (topic: string): LogRecord[] =>
    Array.from({ length: partitions }, (_, p) => log.records(topic, p)).flat();

  /** Whether everything on the log is stored, and Redis is level with it. */
  function isSettled(): boolean {
    for (let p = 0; p < partitions; p++)
      for (const topic of LANE_TOPICS) {
        const end = log.records(topic, p).length;
        const fence = store.fences.get(`${topic}/${p}`);
        if (end > 0 && fence?.nextOffset !== end) return false;
        if (end > 0 && topic === TOPIC.data)
          if (view.marks.get(appliedKey(topic, p)) !== end) return false;
      }
    return true;
  }

  return {
    log,
    view,
    store,
    link,
    clock,
    partitions,
    decoder,
    start,
    produce,
    produceMany,
    command,
    cancel,
    records,
    isSettled,
    /** Moves everyone's clock on. */
    pass(ms: number) {
      skewMs += ms;
    },
    settled: (what = "everything on the log to be stored and shown") =>
      until(isSettled, { withinMs: PATIENCE_MS, what }),
    wait: <T>(what: string, check: () => T | Promise<T>) =>
      until(check, { withinMs: PATIENCE_MS, what }),
    /** Values of one device's point `t`, in the order in which they were stored. */
    values: (address: string) =>
      store
        .rows()
        .filter((row) => row.address === address)
        .map(({ value }) => value),
    /** Texts published for a device, oldest first. */
    published: (address: string) =>
      view.published
        .filter(({ channel }) => channel === `device-updates:${address}`)
        .map(({ text }) => text),
    committed: (topic: string, partition = 0) =>
      log.committed(GROUP, topic, partition),
    async end() {
      for (const running of started) await running.kill();
    },
  };
}
