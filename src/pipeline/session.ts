/**
 * One claim's run of a lane: from the moment its positions are known until they are not ours any more. It takes fetched
 * batches, works through them in slices (hot stage), and flushes (cold stage). What it holds is bounded: past its share the
 * feed is paused, and the rest stays in the log. (Over 300 lines: the parts of a session are put together here alone.)
 */
import { TOPIC } from "../domain/names.js";
import type { TwinstreamError } from "../errors.js";
import type { LogBounds } from "../ports.js";
import { createCommandDesk } from "./command-desk.js";
import { createFlusher, type Stored, type Taken } from "./flusher.js";
import { createIntake, type Intake } from "./intake.js";
import { LANE_TOPICS, type LaneDeps } from "./lane-deps.js";
import { traceSlice, type Traced } from "./lane-trace.js";
import type { Patiently } from "./patience.js";
import type { Position } from "./position.js";
import { prepare, type Prepared } from "./prepare.js";
import { createPresenceWatch } from "./presence-watch.js";
import { createSliceQueue } from "./slices.js";
import { createViewWriter } from "./view-writer.js";

export interface SessionStart {
  readonly partition: number;
  readonly clusterId: string;
  readonly positions: readonly Position[];
  readonly stored: Stored[];
  readonly bounds: LogBounds;
  readonly signal: AbortSignal;
  readonly patiently: Patiently;
  /** Told after each flush, to tell the consumer group. */
  readonly committed: (
    done: readonly { topic: string; offset: number }[],
  ) => void;
  /** The session cannot go on: the fence is lost, or something failed for good. */
  readonly lost: (why: "elsewhere" | "lost" | Error) => void;
  /** The log holds another record where the last one was stored. */
  readonly refused: (error: TwinstreamError) => void;
}

export interface Session {
  begin(): Promise<void>;
  readonly take: Intake["take"];
  readonly positions: Intake["positions"];
  readonly stored: readonly Stored[];
  /** Waits for the flush in flight and starts none, so that the fence can be moved. */
  hold(): Promise<void>;
  resume(): void;
  tick(): Promise<void>;
  viewReconnected(): void;
  /** Everything before it is stored, or was gone before it was read. */
  done(topic: string): number;
  /** Records behind the end of the log as last seen. */
  lag(topic: string): number;
  /** Since the newest stored record was put on the log, seconds; 0 when nothing waits or nothing was ever stored. */
  behindSeconds(topic: string): number;
  readonly online: number;
  /** Until when everything its devices said is known, microseconds; 0 when not known yet. */
  readonly knownUs: number;
  readonly live: number;
  readonly held: { messages: number; bytes: number };
  /** Takes nothing more, and flushes what Redis has answered for. */
  drain(): Promise<void>;
  end(): void;
}

export function createSession(deps: LaneDeps, start: SessionStart): Session {
  const { log, store, view, observer, clock, settings } = deps;
  const { partition, patiently, stored } = start;
  const stopped = new AbortController();
  const signal = AbortSignal.any([start.signal, stopped.signal]);
  /** Devices with messages in work or effects that no flush has stored yet, and in how many slices. */
  const unflushed = new Map<string, number>();
  /** Arrival of the newest stored telemetry, microseconds. */
  let appliedUs = 0;
  let ended = false;
  let hot: Promise<void> = Promise.resolve();

  const fail = (error: unknown): void => {
    if (!ended)
      start.lost(error instanceof Error ? error : new Error(String(error)));
  };
  const actors = deps.actors.open(partition, fail);
  const writer = createViewWriter({
    view,
    log,
    topic: TOPIC.data,
    partition,
    decode: deps.decode(TOPIC.data),
    rules: deps.rules,
    observer,
    clock,
    signal,
    patiently,
    failed: fail,
  });
  const flusher = createFlusher({
    partition,
    owner: settings.owner,
    clusterId: start.clusterId,
    store,
    deadLetters: deps.deadLetters,
    observer,
    clock,
    patiently,
    stored,
    batchSize: settings.batchSize,
    batchMs: settings.batchMs,
    presence: (changes) => presence.note(changes),
    flushed,
    lost: start.lost,
    tracer: deps.tracer,
  });
  const desk = createCommandDesk({
    link: deps.link,
    tracer: deps.tracer,
    clock,
    observer,
    changed: (changes) => flusher.add(changes, []),
    judge: (one) => flusher.judge(one),
  });

  const presence = createPresenceWatch({
    partition,
    timeoutUs: settings.offlineAfterMs * 1000,
    known: deps.known,
    view,
    observer,
    patiently,
    tell: (changes) => flusher.add([], changes),
  });
  const boundary = (topic: string): number =>
    topic === TOPIC.data ? writer.boundary : -1;
  const queue = createSliceQueue(TOPIC.commands, boundary);
  const intake = createIntake({
    feed: deps.feed,
    partition,
    positions: start.positions,
    share: settings.share,
    boundary,
    push: (slice) => queue.push(slice),
    refused: start.refused,
    signal,
  });

  // ------------------------------------------------------------ hot stage

  /** From here until the flush their actors stay: one let go would forget what no flush has stored yet. */
  function touch(addresses: Iterable<string>): void {
    for (const address of addresses)
      unflushed.set(address, (unflushed.get(address) ?? 0) + 1);
  }

  /** At most two slices in work: the second is decoded and applied while Redis answers for the first. */
  async function work(): Promise<void> {
    let writing: Promise<void> = Promise.resolve();
    // A call for each slice: while the next is waited for, nothing keeps the last in memory.
    const workOnNext = async (): Promise<boolean> => {
      const slice = await queue.next();
      if (slice === null) return false;
      const traced = traceSlice(deps.tracer, slice, partition);
      const prepared = await traced.step("device actors", () =>
        prepare(slice, { ...deps, actors, touch }, patiently),
      );
      await writing;
      writing = write(prepared, traced);
      // Whatever becomes of it is met at the next await; until then it is no unhandled rejection.
      writing.catch(() => undefined);
      return true;
    };
    let more = true;
    while (more) more = await workOnNext();
    await writing;
  }

  async function write(prepared: Prepared, traced: Traced): Promise<void> {
    if (prepared.slice.topic === TOPIC.data)
      await traced.step("redis", () => writer.write(prepared));
    traced.end();
    if (signal.aborted) return;
    const { traceparent } = traced;
    flusher.gather({
      ...prepared,
      // What Redis shows is through; its texts would be a third of what waits for the flush.
      view: [],
      ...(traceparent !== undefined && { traceparent }),
    });
  }

  // ------------------------------------------------------------ after a flush

  function flushed(taken: Taken): void {
    if (signal.aborted) return;
    const { prepared, changes } = taken;
    intake.stored(prepared.map(({ slice }) => slice));
    for (const { slice, newestUs } of prepared) {
      if (slice.topic === TOPIC.data) appliedUs = Math.max(appliedUs, newestUs);
    }
    for (const { device } of changes) {
      const batches = unflushed.get(device.address)! - 1;
      if (batches === 0) unflushed.delete(device.address);
      else unflushed.set(device.address, batches);
    }
    passivate();
    start.committed(
      LANE_TOPICS.map((topic) => ({ topic, offset: done(topic) })),
    );
    for (const { state } of taken.ended)
      observer.emit({ type: "command", state, count: 1 });
    desk.ended(taken.ended.map(({ cmdId }) => cmdId));
    desk.judged(taken.judged);
    desk.queued(taken.queued);
    desk.awake(
      changes.filter(({ seenUs }) => seenUs > 0).map((c) => c.device.address),
    );
    if (taken.unknown) loadCommands().catch(fail);
  }

  function passivate(): void {
    actors.passivate(
      settings.share().actors,
      clock() - settings.actorIdleMs,
      (address) => unflushed.has(address),
    );
  }

  async function loadCommands(): Promise<void> {
    const known = desk.known;
    const open = await patiently(() => store.openCommands(partition));
    desk.load(open, known);
  }

  // ------------------------------------------------------------ time

  /** Everything before it is stored, or was gone before it was read. */
  const done = (topic: string): number => {
    const i = LANE_TOPICS.findIndex((one) => one === topic);
    return Math.max(stored[i]!.offset, start.positions[i]!.start);
  };

  /** Before the first fetch the end is what the claim saw: a lane with a backlog must not look level. */
  function lag(topic: string): number {
    const seen = topic === TOPIC.data ? start.bounds.high : 0;
    return Math.max(0, Math.max(intake.high(topic), seen) - done(topic));
  }

  function behindSeconds(topic: string): number {
    const lastMs =
      stored.find((at) => at.topic === topic)?.lastRecordMs ?? null;
    if (lastMs === null || lag(topic) === 0) return 0;
    return Math.max(0, clock() - lastMs) / 1000;
  }

  async function tick(): Promise<void> {
    flusher.lookAtFence();
    await writer.lookAfter();
    if (ended) return;
    passivate();
    desk.again();
    await expire();
    await presence.look(done(TOPIC.data));
  }

  /** A command is over once all telemetry that arrived before its end has been applied: its ack may be in there. */
  async function expire(): Promise<void> {
    const over = desk.overdue(clock() * 1000);
    if (over.length === 0) return;
    const passed = over.filter(({ expiresUs }) => expiresUs < appliedUs);
    desk.expire(passed, "telemetry that arrived later has been applied");
    if (passed.length === over.length) return;
    const bounds = await log.bounds(TOPIC.data);
    const end = bounds[partition]!.high;
    if (done(TOPIC.data) >= end && !signal.aborted)
      desk.expire(over, `all of the log up to offset ${end} has been applied`);
  }

  return {
    stored,
    async begin() {
      const data = start.positions.find((at) => at.topic === TOPIC.data)!;
      await writer.begin(data.start, start.bounds);
      presence.load(await patiently(() => store.onlineDevices(partition)));
      await loadCommands();
      hot = work().catch(fail);
    },
    take: intake.take,
    positions: intake.positions,
    hold: flusher.hold,
    resume() {
      intake.resume();
      flusher.resume();
    },
    tick,
    viewReconnected: () => writer.suspect(),
    done,
    lag,
    behindSeconds,
    get online() {
      return presence.size;
    },
    get knownUs() {
      return presence.knownUs;
    },
    get live() {
      return actors.size;
    },
    held: intake.held,
    async drain() {
      queue.close();
      await hot;
      await flusher.drain();
    },
    end() {
      if (ended) return;
      ended = true;
      presence.end();
      stopped.abort();
      queue.close();
      flusher.end();
      desk.end();
      actors.stop();
    },
  };
}
