/**
 * Keeps Redis level with the lane. The mark says how far the view is written. One of three holds at any time:
 * - live: each write moves the mark from the lane's previous position to its next.
 * - ahead: after a restart the mark may stand beyond the stored offset; what lies before it is not written again.
 * - rebuilding: the mark met is another, or none: Redis has lost something. What lies between it and the live position is
 *   read from the log again, in the background and without publishing, while live batches go on being written (the guard on
 *   last state makes that safe). Only the rebuild moves the mark then, and hands it over when it is through.
 */
import {
  deviceReducer,
  newDevice,
  type DeviceRules,
} from "../domain/decide.js";
import type { ViewChange } from "../domain/device.js";
import type { LogRecord } from "../domain/message.js";
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
  /** Live writes cover everything from here on. */
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
    ahead = live;
    if (mark !== null && mark >= live && mark <= bounds.high) {
      ahead = mark;
      return;
    }
    const behind = mark !== null && mark < live ? mark : await historyBegins();
    const from = Math.max(bounds.low, behind);
    await patiently(() => view.setMark(topic, partition, Math.min(from, live)));
    if (from >= live) return;
    rebuild?.stopped.abort();
    rebuild = { to: live, stopped: new AbortController(), done: false };
    run(rebuild, from).catch(deps.failed);
  }

  async function historyBegins(): Promise<number> {
    const sinceMs = clock() - deps.rules.historyUs / 1000;
    const offsets = await patiently(() => log.offsetsAt(topic, sinceMs));
    return offsets[partition] ?? live;
  }

  async function run(mine: Rebuild, from: number): Promise<void> {
    const startedMs = clock();
    const signal = AbortSignal.any([deps.signal, mine.stopped.signal]);
    const range = { topic, partition, from, to: mine.to };
    let records = 0;
    observer.emit({ type: "rebuild_started", partition, from, to: mine.to });
    await patiently(() =>
      log.read(
        range,
        async (batch) => {
          if (signal.aborted) return;
          await writeAgain(batch);
          records += batch.length;
          range.from = batch[batch.length - 1]!.offset + 1;
          await patiently(() => view.setMark(topic, partition, range.from));
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

  async function writeAgain(records: readonly LogRecord[]): Promise<void> {
    const nowMs = clock();
    const changes: ViewChange[] = [];
    for (const messages of group(records, deps.decode).groups.values())
      changes.push(
        reduce(newDevice(messages[0]!), messages, nowMs).effects.view,
      );
    await patiently(() => view.write({ changes, publish: false, mark: null }));
  }

  async function handOver(): Promise<void> {
    if (rebuild === null || !rebuild.done) return;
    rebuild = null;
    await patiently(() => view.setMark(topic, partition, live));
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
