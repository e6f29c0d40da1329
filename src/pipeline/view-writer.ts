/**
 * Keeps Redis level with the lane. The mark says how far the view is written. One of three holds at any time:
 * - live: each write moves the mark from the lane's previous position to its next.
 * - ahead: after a restart the mark may stand beyond the stored offset; what lies before it is not written again.
 * - rebuilding: the mark met is another, or none: Redis has lost something. What lies between it and the live position is
 *   read from the log again, in the background and without publishing, while live batches go on being written (the guard on
 *   last state makes that safe). Only the rebuild moves the mark then, and hands it over when it is through. It too moves it
 *   by compare-and-set: a mark set outright would hide that Redis has lost something once more.
 */
import {
  deviceReducer,
  newDevice,
  type DeviceRules,
} from "../domain/decide.js";
import {
  type DeviceState,
  newState,
  type ViewChange,
} from "../domain/device.js";
import type { LogRecord, Message } from "../domain/message.js";
import type {
  Clock,
  DeviceView,
  LogBounds,
  LogInspector,
  Observer,
} from "../ports.js";
import { group, type Decode, type Prepared } from "./prepare.js";

export interface ViewWriterDeps {
  readonly view: DeviceView;
  readonly log: Pick<LogInspector, "bounds" | "offsetsAt" | "read">;
  readonly topic: string;
  readonly partition: number;
  readonly decode: Decode;
  readonly rules: DeviceRules;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Repeats while the failure may pass; see `retry.ts`. */
  readonly patiently: <T>(work: () => Promise<T>) => Promise<T>;
  /** A rebuild that cannot go on. */
  readonly failed: (error: unknown) => void;
}

export interface ViewWriter {
  /** Compares the mark with where the lane begins, and starts a rebuild where it lags. */
  begin(start: number, bounds: LogBounds): Promise<void>;
  /** Where a slice has to be cut: the mark, when it stands ahead of the lane. */
  readonly boundary: number;
  /** Writes one slice of the topic; slices come in offset order, one at a time. */
  write(prepared: Prepared): Promise<void>;
  /** The connection came back: Redis may have lost its latest second, or all. */
  suspect(): void;
  /** Looks at the mark of a quiet lane when it is suspect, and hands over a rebuild that is through. */
  lookAfter(): Promise<void>;
  readonly rebuilding: boolean;
}

interface Rebuild {
  /** Where the mark stands by what the rebuild has written; live writes cover everything from `to` on. */
  reached: number;
  readonly to: number;
  readonly stopped: AbortController;
  done: boolean;
}

export function createViewWriter(deps: ViewWriterDeps): ViewWriter {
  const { view, log, topic, partition, observer, clock, patiently } = deps;
  const reduce = deviceReducer(deps.rules);

  /** End of what Redis has answered for on the live path. */
  let live = 0;
  /** Before it nothing is written: Redis has it already. */
  let ahead = 0;
  let rebuild: Rebuild | null = null;
  let suspected = false;
  /** Writes and looks at the mark go one after the other. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  };

  /** Decides by the mark met: level, ahead of us, or behind, which takes a rebuild. */
  async function meet(mark: number | null, bounds: LogBounds): Promise<void> {
    rebuild?.stopped.abort();
    rebuild = null;
    ahead = live;
    if (mark !== null && mark >= live && mark <= bounds.high) {
      ahead = mark;
      return;
    }
    const behind = mark !== null && mark < live ? mark : await historyBegins();
    const from = Math.max(bounds.low, behind);
    const start = Math.min(from, live);
    if (mark !== start)
      await patiently(() => view.setMark(topic, partition, start));
    if (from >= live) return;
    const stopped = new AbortController();
    rebuild = { reached: from, to: live, stopped, done: false };
    run(rebuild).catch((error: unknown) => {
      if (!stopped.signal.aborted) deps.failed(error);
    });
  }

  async function historyBegins(): Promise<number> {
    const sinceMs = clock() - deps.rules.historyUs / 1000;
    const offsets = await patiently(() => log.offsetsAt(topic, sinceMs));
    return offsets[partition] ?? live;
  }

  async function run(mine: Rebuild): Promise<void> {
    const startedMs = clock();
    const signal = AbortSignal.any([deps.signal, mine.stopped.signal]);
    const { reached: from, to } = mine;
    const untimed = new Map<string, DeviceState>();
    let records = 0;
    observer.emit({ type: "rebuild_started", partition, from, to });
    await patiently(() =>
      log.read(
        { topic, partition, from: mine.reached, to },
        async (batch) => {
          if (signal.aborted) return;
          await writeAgain(batch, mine, untimed);
          records += batch.length;
        },
        signal,
      ),
    );
    if (signal.aborted) return;
    mine.done = true;
    await lookAfter();
    observer.emit({
      type: "rebuild_finished",
      partition,
      records,
      seconds: (clock() - startedMs) / 1000,
    });
  }

  /** One batch of a rebuild. Where the mark is not where this rebuild left it, Redis has lost something once more. */
  async function writeAgain(
    records: readonly LogRecord[],
    mine: Rebuild,
    untimed: Map<string, DeviceState>,
  ): Promise<void> {
    const nowMs = clock();
    const changes: ViewChange[] = [];
    for (const [address, messages] of group(records, deps.decode).groups) {
      const before = untimed.get(address) ?? newDevice(messages[0]!);
      const { state, views } = shown(before, messages, nowMs);
      changes.push(...views);
      // Only what tells a redelivered message from its first delivery is needed in the next batch.
      if (state.untimed.length > 0)
        untimed.set(address, {
          ...newState(state.device),
          untimed: state.untimed,
        });
    }
    const to = records[records.length - 1]!.offset + 1;
    if (await moved(changes, mine.reached, to)) mine.reached = to;
    else if (rebuild === mine) {
      suspected = true;
      await lookAfter();
    }
  }

  /** What the view shows of these messages. One that crashes the reducer is a dead letter, and its neighbours are shown. */
  function shown(
    before: DeviceState,
    messages: readonly Message[],
    nowMs: number,
  ): { state: DeviceState; views: ViewChange[] } {
    try {
      const { state, effects } = reduce(before, messages, nowMs);
      return { state, views: [effects.view] };
    } catch {
      // Counted and kept when its actor crashed; here it only must not stop the rebuild.
      if (messages.length === 1) return { state: before, views: [] };
    }
    const views: ViewChange[] = [];
    let state = before;
    for (const message of messages) {
      const one = shown(state, [message], nowMs);
      state = one.state;
      views.push(...one.views);
    }
    return { state, views };
  }

  /** Writes without publishing and moves the mark by compare-and-set; answers whether it stood where it should. */
  async function moved(
    changes: readonly ViewChange[],
    from: number,
    to: number,
  ): Promise<boolean> {
    const mark = { topic, partition, from, to };
    const written = await patiently(() =>
      view.write({ changes, publish: false, mark }),
    );
    return written.marked;
  }

  async function handOver(): Promise<void> {
    if (rebuild === null || !rebuild.done) return;
    const { reached } = rebuild;
    rebuild = null;
    if (!(await moved([], reached, live))) suspected = true;
  }

  async function lookAgain(): Promise<void> {
    suspected = false;
    const mark = await patiently(() => view.mark(topic, partition));
    if (rebuild === null && mark === Math.max(live, ahead)) return;
    const bounds = await patiently(() => log.bounds(topic));
    await meet(mark, bounds[partition]!);
  }

  const lookAfter = (): Promise<void> =>
    inTurn(async () => {
      await handOver();
      if (suspected) await lookAgain();
    });

  async function write({ slice, view: changes }: Prepared): Promise<void> {
    await handOver();
    const mark =
      rebuild === null
        ? { topic, partition, from: slice.from, to: slice.to }
        : null;
    const { marked } = await patiently(() =>
      view.write({ changes, publish: true, mark }),
    );
    live = slice.to;
    if (suspected || (mark !== null && !marked)) await lookAgain();
  }

  return {
    async begin(start, bounds) {
      live = start;
      await meet(await patiently(() => view.mark(topic, partition)), bounds);
    },
    get boundary() {
      return ahead;
    },
    get rebuilding() {
      return rebuild !== null;
    },
    async write(prepared) {
      const { slice } = prepared;
      if (slice.to <= ahead) {
        live = slice.to;
        return;
      }
      const startedMs = clock();
      await inTurn(() => write(prepared));
      observer.emit({
        type: "view_written",
        partition,
        devices: prepared.view.length,
        messages: slice.records.length,
        seconds: (clock() - startedMs) / 1000,
      });
    },
    suspect() {
      suspected = true;
    },
    lookAfter,
  };
}
