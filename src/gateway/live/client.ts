/**
 * One live stream on our side. It is, in this order:
 *   opening   what comes is held back, until what was missed has been sent;
 *   even      each batch is written as it comes;
 *   behind    the client takes less than comes: of each device the newest frame waits, the others are counted and left out,
 *             until it has caught up and is even again;
 *   ended.
 * What one client can hold of our memory is bounded in each: `bufferBytes` written and not taken, as much held or waiting.
 */
import { type Batch, batchOf, type Frame, said, sizeOf } from "./frame.js";
import type { EndReason, Sink } from "./sink.js";

export interface ClientRules {
  /** Bytes written and not taken at most (a single batch may pass it), and bytes that wait beside them. */
  readonly bufferBytes: number;
  /** Milliseconds for which a client may take nothing of what is written. */
  readonly stuckMs: number;
  /** Milliseconds between two `conflated` while a client stays behind. */
  readonly tellMs: number;
}

/** Counted for all clients of a process together. */
export interface LiveCounts {
  frames: number;
  conflated: number;
  closedSlow: number;
}

export interface LiveClient {
  /** Unix milliseconds; Infinity without log-in. */
  readonly untilMs: number;
  ended(): boolean;
  /** What is published, as it comes. */
  take(batch: Batch): void;
  /** What goes whatever the client has taken: replayed messages and what we say ourselves. */
  send(batch: Batch): void;
  /** Opening is over: what was held goes out, but for messages that were sent already. */
  open(alreadySent: ReadonlySet<string>): void;
  /** Sends of what waits as much as the client takes; whether it is behind still. */
  catchUp(nowMs: number): boolean;
  /** Ends a stream whose client takes nothing; whether it did. */
  cutIfStuck(nowMs: number): boolean;
  /** Says so to the client. */
  end(reason: EndReason): void;
  /** The client has gone. */
  gone(): void;
}

export function createLiveClient(options: {
  readonly sink: () => Sink | null;
  readonly untilMs: number;
  readonly rules: ClientRules;
  readonly counts: LiveCounts;
  /** Called when it falls behind. */
  readonly fellBehind: () => void;
}): LiveClient {
  const { rules, counts, fellBehind } = options;
  let mode: "opening" | "even" | "behind" | "ended" = "opening";
  /** While opening, in order. */
  let held: Frame[] = [];
  let heldBytes = 0;
  /** While behind (or once `held` is full): the newest of each device, those that wait longest first. */
  const waiting = new Map<string, Frame>();
  let waitingBytes = 0;
  /** Left out since the client was last told, and those of them that nothing newer was put in the place of. */
  let skipped = 0;
  let leftOut = 0;
  let toldMs = 0;
  let takenBytes = 0;
  let takenMs: number | null = null;

  const write = (batch: Batch): void => {
    counts.frames += batch.frames.length;
    options.sink()?.write(batch);
  };
  const fits = (bytes: number): boolean => {
    const buffered = options.sink()?.buffered() ?? 0;
    // A message may be larger than what a client may have waiting: it goes when nothing else is there.
    return buffered === 0 || buffered + bytes <= rules.bufferBytes;
  };

  function wait(frame: Frame): void {
    const { key } = frame;
    if (key === null) return;
    const before = waiting.get(key);
    if (before !== undefined) {
      waitingBytes -= sizeOf(before);
      skipped++;
      counts.conflated++;
    }
    if (waitingBytes + sizeOf(frame) <= rules.bufferBytes) {
      // Set in the place of the one before: who waits longest stays first.
      waiting.set(key, frame);
      waitingBytes += sizeOf(frame);
      return;
    }
    waiting.delete(key);
    skipped++;
    leftOut++;
    counts.conflated++;
  }

  function fallBehind(): void {
    mode = "behind";
    fellBehind();
  }

  function gone(): void {
    mode = "ended";
    held = [];
    waiting.clear();
  }
  function end(reason: EndReason): void {
    if (mode === "ended") return;
    gone();
    options.sink()?.end(reason);
  }

  return {
    untilMs: options.untilMs,
    end,
    gone,
    ended: () => mode === "ended",
    take(batch) {
      if (mode === "even" && fits(batch.bytes)) return write(batch);
      if (mode === "ended") return;
      if (mode === "opening") {
        for (const frame of batch.frames)
          if (waiting.size === 0 && heldBytes < rules.bufferBytes) {
            held.push(frame);
            heldBytes += sizeOf(frame);
          } else wait(frame);
        return;
      }
      for (const frame of batch.frames) wait(frame);
      if (mode === "even") fallBehind();
    },
    send(batch) {
      if (mode !== "ended") write(batch);
    },
    open(alreadySent) {
      if (mode !== "opening") return;
      const isNew = (frame: Frame): boolean =>
        frame.event !== "update" ||
        alreadySent.size === 0 ||
        !alreadySent.has(frame.data.toString());
      const fresh = held.filter(isNew);
      held = [];
      for (const [key, frame] of waiting)
        if (!isNew(frame)) {
          waiting.delete(key);
          waitingBytes -= sizeOf(frame);
        }
      if (fresh.length > 0) write(batchOf(fresh));
      if (waiting.size > 0) fallBehind();
      else mode = "even";
    },
    catchUp(nowMs) {
      if (mode !== "behind") return false;
      const sink = options.sink();
      if (sink === null) return false;
      // Half: so that a client is not sent a frame at a time for each one that it takes.
      if (sink.buffered() > rules.bufferBytes / 2) return true;
      const frames: Frame[] = [];
      let bytes = sink.buffered();
      for (const [key, frame] of waiting) {
        if (frames.length > 0 && bytes + sizeOf(frame) > rules.bufferBytes)
          break;
        waiting.delete(key);
        waitingBytes -= sizeOf(frame);
        bytes += sizeOf(frame);
        frames.push(frame);
      }
      const due = waiting.size === 0 || nowMs - toldMs >= rules.tellMs;
      if (skipped > 0 && due) {
        toldMs = nowMs;
        write(batchOf([said("conflated", { skipped, left_out: leftOut })]));
        skipped = 0;
        leftOut = 0;
      }
      if (frames.length > 0) write(batchOf(frames));
      if (waiting.size > 0) return true;
      mode = "even";
      return false;
    },
    cutIfStuck(nowMs) {
      const sink = options.sink();
      if (sink === null || mode === "ended") return false;
      const sent = sink.sent();
      if (takenMs === null || sent > takenBytes || sink.buffered() === 0) {
        takenBytes = sent;
        takenMs = nowMs;
        return false;
      }
      if (nowMs - takenMs < rules.stuckMs) return false;
      counts.closedSlow++;
      end("too_slow");
      return true;
    },
  };
}
