/**
 * Until when everything that devices said is on the log: what silence is measured by, in place of the clock. A device is
 * silent when nothing of it was heard for the time-out before a moment until which everything is known. So none is called
 * offline because a bridge, the broker, the log or a processor is behind.
 *
 * A look takes the least of all bridges' beats first and then asks the log where each partition ends: whatever arrived until
 * then lies before these ends, and a lane that has stored up to its end knows all of it. Where no bridge has ever told of
 * itself (other producers write to the log), the moment of the look stands for the beat.
 *
 * A bridge that is away holds everything, for nobody else knows what waits for it at the broker. One that was taken out of
 * service is forgotten after a day, if others live; the last is never forgotten.
 */
import { TOPIC } from "../domain/names.js";
import { BRIDGE_DOWN_MS } from "../domain/presence.js";
import type { Clock, LogInspector, Observer } from "../ports.js";
import { readBeat } from "./bridge-beat.js";

export interface Known {
  /** Microseconds. */
  readonly untilUs: number;
  /** By partition of `iot-data`. */
  readonly ends: readonly number[];
}

export interface Horizon {
  /** Asks the log. @throws TwinstreamError LOG_UNREACHABLE */
  look(): Promise<void>;
  /** Of the latest look; null before the first. */
  readonly latest: Known | null;
  /** Until when all bridges have brought theirs onto the log, milliseconds; null when none has ever told of itself. */
  readonly bridgesMs: number | null;
}

const FORGOTTEN_MS = 86_400_000;

export function createHorizon(
  log: LogInspector,
  observer: Observer,
  clock: Clock,
  signal: AbortSignal,
): Horizon {
  const bridges = new Map<string, number>();
  const down = new Set<string>();
  let next = 0;
  let latest: Known | null = null;

  async function readBeats(): Promise<void> {
    const [bounds] = await log.bounds(TOPIC.beats);
    const { low, high } = bounds!;
    if (next >= high) return;
    await log.read(
      { topic: TOPIC.beats, partition: 0, from: Math.max(next, low), to: high },
      async (records) => {
        for (const { value } of records) {
          const beat = readBeat(value);
          if (beat === null) continue;
          const before = bridges.get(beat.bridgeId) ?? 0;
          bridges.set(beat.bridgeId, Math.max(before, beat.untilMs));
        }
      },
      signal,
    );
    next = high;
  }

  function forget(): void {
    const newest = Math.max(...bridges.values());
    for (const [id, untilMs] of bridges)
      if (untilMs < newest - FORGOTTEN_MS) {
        bridges.delete(id);
        down.delete(id);
      }
  }

  /** Says which bridges went and came back since the last look. */
  function report(nowMs: number): void {
    for (const [bridge, untilMs] of bridges) {
      const seconds = Math.round((nowMs - untilMs) / 1000);
      const isDown = nowMs - untilMs > BRIDGE_DOWN_MS;
      if (isDown === down.has(bridge)) continue;
      if (isDown) down.add(bridge);
      else down.delete(bridge);
      observer.emit({ type: "bridge_heard", bridge, alive: !isDown, seconds });
    }
    observer.emit({
      type: "bridges",
      alive: bridges.size - down.size,
      down: down.size,
    });
  }

  const least = (): number | null =>
    bridges.size === 0 ? null : Math.min(...bridges.values());

  return {
    async look() {
      const nowMs = clock();
      await readBeats();
      forget();
      report(nowMs);
      const untilUs = (least() ?? nowMs) * 1000;
      const bounds = await log.bounds(TOPIC.data);
      latest = { untilUs, ends: bounds.map(({ high }) => high) };
    },
    get latest() {
      return latest;
    },
    get bridgesMs() {
      return least();
    },
  };
}

/** How far one lane knows everything, as it stores what the looks saw the end of. */
export function createReach(
  latest: () => Known | null,
  partition: number,
): (storedTo: number) => number {
  /** Kept until it is reached: under load the end moves on with every look. */
  let ahead: Known | null = null;
  let untilUs = 0;
  return (storedTo) => {
    ahead ??= latest();
    if (ahead !== null && storedTo >= (ahead.ends[partition] ?? Infinity)) {
      untilUs = Math.max(untilUs, ahead.untilUs);
      ahead = null;
    }
    return untilUs;
  };
}
