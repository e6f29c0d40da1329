/** The processor: a lane for each partition that the group assigns, and what they share. */
import { reasonOf } from "../errors.js";
import { TOPIC } from "../domain/names.js";
import { BEAT_MS } from "../domain/presence.js";
import { createHorizon } from "./horizon.js";
import { createLane, type Lane } from "./lane.js";
import { createPatience } from "./patience.js";
import { LANE_TOPICS, type LaneDeps, type LaneSettings } from "./lane-deps.js";
import { createTurns } from "./turns.js";
import { createWatchdog } from "./watchdog.js";

export interface ProcessorSettings extends Omit<LaneSettings, "share"> {
  readonly queueMessages: number;
  readonly queueBytes: number;
  readonly liveActors: number;
  readonly watchdogMs: number;
  /** How often the lanes are looked after; 1 s unless given. */
  readonly tickMs?: number;
}

export interface ProcessorDeps extends Omit<
  LaneDeps,
  "settings" | "known" | "turns"
> {
  readonly settings: ProcessorSettings;
  /** Called with the reason when the process should end, to be started again. */
  readonly giveUp: (reason: string) => void;
}

export interface Processor {
  start(): Promise<void>;
  /** Flushes what has gathered within the deadline, leaves the group, lets the lanes go. */
  stop(deadlineMs: number): Promise<void>;
  /** What keeps it from working, by partition; empty when it is ready. */
  troubles(): string[];
}

const TICK_MS = 1000;
/** How long a revoked lane may finish the flush in flight. */
const REVOKE_MS = 5000;
/** Every so many ticks the log is asked where it ends: a stalled consumer would not notice. */
const BOUNDS_TICKS = 10;
/** How often the log and the bridges' beats are asked until when everything is known. */
const HORIZON_MS = BEAT_MS;
/** How often late rows are brought into the aggregates and what is past its time is dropped. */
const MAINTAIN_MS = 10_000;

export function createProcessor(deps: ProcessorDeps): Processor {
  const { feed, log, store, view, observer, clock, settings } = deps;
  const lanes = new Map<number, Lane>();
  const letGo = new Map<number, Promise<void>>();
  const stopping = new AbortController();
  const watchdog = createWatchdog(settings.watchdogMs);
  const timers: NodeJS.Timeout[] = [];
  let ticks = 0;
  let ends: readonly number[] = [];
  let joined = false;

  const horizon = createHorizon(log, observer, clock, stopping.signal);
  const laneDeps: LaneDeps = {
    ...deps,
    known: () => horizon.latest,
    turns: createTurns(),
    settings: {
      ...settings,
      share: () => {
        const parts = Math.max(1, lanes.size);
        return {
          messages: Math.ceil(settings.queueMessages / parts),
          bytes: Math.ceil(settings.queueBytes / parts),
          actors: Math.ceil(settings.liveActors / parts),
        };
      },
    },
  };

  function assigned(
    clusterId: string,
    generation: number,
    partitions: readonly number[],
  ): void {
    // On the way out nothing more is claimed: it would take the fence from who is given the partition next.
    if (stopping.signal.aborted) return;
    joined = true;
    observer.emit({ type: "assigned", generation, partitions });
    const mine = new Set(partitions);
    for (const [partition, lane] of lanes) {
      if (mine.has(partition)) continue;
      lanes.delete(partition);
      for (const topic of LANE_TOPICS)
        observer.emit({ type: "lag_gone", topic, partition });
      const closed = lane.close("revoked", REVOKE_MS).finally(() => {
        if (letGo.get(partition) === closed) letGo.delete(partition);
      });
      letGo.set(partition, closed);
    }
    for (const partition of partitions) {
      let lane = lanes.get(partition);
      if (lane === undefined) {
        const before = letGo.get(partition) ?? Promise.resolve();
        lane = createLane(laneDeps, partition, clusterId, before);
        lanes.set(partition, lane);
      }
      lane.assign(generation);
    }
  }

  async function tick(): Promise<void> {
    if (ticks++ % BOUNDS_TICKS === 0)
      ends = (await log.bounds(TOPIC.data)).map(({ high }) => high);
    const done = await Promise.allSettled(
      [...lanes.values()].map((lane) => lane.tick()),
    );
    for (const one of done)
      if (one.status === "rejected")
        observer.emit({
          type: "failure",
          where: "look after a lane",
          error: reasonOf(one.reason),
        });
  }

  /** What silence is measured by, for the lanes and, as far as they have come, for the gateways. */
  async function lookAhead(): Promise<void> {
    await horizon.look();
    const untilMs = new Map<number, number>();
    for (const { partition, session } of lanes.values())
      if (session !== null && session.knownUs > 0)
        untilMs.set(partition, Math.floor(session.knownUs / 1000));
    await view.horizon(untilMs, horizon.bridgesMs);
  }

  function report(): void {
    let messages = 0;
    let bytes = 0;
    let alive = 0;
    let online = 0;
    for (const { partition, session } of lanes.values()) {
      if (session === null) continue;
      messages += session.held.messages;
      bytes += session.held.bytes;
      alive += session.live;
      online += session.online;
      for (const topic of LANE_TOPICS)
        observer.emit({
          type: "lag",
          topic,
          partition,
          lag: session.lag(topic),
          behindSeconds: session.behindSeconds(topic),
        });
    }
    observer.emit({ type: "queue", messages, bytes });
    observer.emit({ type: "actors", alive });
    observer.emit({ type: "devices_online", count: online });
  }

  function watch(): void {
    const facts = [...lanes.values()].map((lane) => {
      const stored = lane.session?.stored ?? [];
      return {
        partition: lane.partition,
        // By what is done, not by the stored offset: that is -1 where nothing was ever stored, be there nothing to store.
        lag: Math.max(
          0,
          (ends[lane.partition] ?? 0) - (lane.session?.done(TOPIC.data) ?? 0),
        ),
        stored: stored.reduce((sum, { offset }) => sum + offset, 0),
        excused: lane.mode !== "running" || lane.waitsFor !== null,
      };
    });
    const reason = watchdog.check(clock(), feed.health(), facts);
    if (reason === null) return;
    observer.emit({ type: "watchdog", reason });
    deps.giveUp(reason);
  }

  /** Runs work unless it still runs: a slow one delays its next, and nothing else. */
  function oneAtATime(where: string, work: () => Promise<void>): () => void {
    let busy = false;
    return () => {
      if (busy) return;
      busy = true;
      work()
        .catch((error: unknown) =>
          observer.emit({ type: "failure", where, error: reasonOf(error) }),
        )
        .finally(() => {
          busy = false;
        });
    };
  }

  function schedule(): void {
    const look = oneAtATime("look after the lanes", tick);
    const maintain = oneAtATime("maintain the database", () =>
      store.maintain(),
    );
    const ahead = oneAtATime("look how far the log is known", lookAhead);
    ahead();
    timers.push(
      setInterval(ahead, settings.tickMs ?? HORIZON_MS),
      setInterval(() => {
        report();
        watch();
        look();
      }, settings.tickMs ?? TICK_MS),
      setInterval(maintain, MAINTAIN_MS),
    );
  }

  return {
    async start() {
      const patiently = createPatience({
        partition: -1,
        signal: stopping.signal,
        observer,
        clock,
        waiting: () => undefined,
      });
      const clusterId = await patiently(() => log.clusterId());
      view.onReconnect(() => {
        for (const lane of lanes.values()) lane.viewReconnected();
      });
      await patiently(() =>
        feed.start({
          assigned: (generation, partitions) =>
            assigned(clusterId, generation, partitions),
          batch: async (topic, partition, records, high) =>
            lanes.get(partition)?.batch(topic, records, high) ?? false,
        }),
      );
      schedule();
    },

    async stop(deadlineMs) {
      stopping.abort();
      for (const timer of timers) clearInterval(timer);
      const open = [...lanes.values()];
      for (const { partition } of open) feed.pause(partition);
      let late: NodeJS.Timeout | undefined;
      const deadline = new Promise<void>((resolve) => {
        late = setTimeout(resolve, deadlineMs);
      });
      await Promise.race([
        Promise.all(open.map((lane) => lane.drain())),
        deadline,
      ]);
      clearTimeout(late);
      await Promise.all(open.map((lane) => lane.close("stopped", 0)));
      await feed.stop();
      deps.actors.stop();
    },

    troubles() {
      if (!joined) return ["has not joined the consumer group yet"];
      return [...lanes.values()].flatMap(({ partition, trouble, mode }) => {
        if (trouble !== null) return [`partition ${partition} ${trouble}`];
        return mode === "running" ? [] : [`partition ${partition} is ${mode}`];
      });
    },
  };
}
