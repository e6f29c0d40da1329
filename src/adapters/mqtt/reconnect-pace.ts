/**
 * How soon a session whose client id a person chose comes back after its connection has ended.
 *
 * Two clients of one id put each other out for ever if both come back at once. A broker that says so (MQTT 5, reason 142) is
 * believed: each time the wait is four times as long, up to an hour, so that soon one of the two has the session in peace.
 * Mosquitto 2.0.11 says nothing and just closes, which a proxy or a restart looks like too: only after a few short-lived
 * connections in a row the wait doubles, up to a minute.
 */
import type { Clock } from "../../ports.js";

export interface ReconnectPace {
  opened(): void;
  /** After a connection that was open has ended. */
  ended(takenOver: boolean): Pause;
}

export interface Pause {
  /** Milliseconds until the next try. */
  readonly waitMs: number;
  /** Connections in a row that ended like this one, itself included. */
  readonly inARow: number;
  /** Whether that can hardly be anything but another client of the same id. */
  readonly crowded: boolean;
}

const TAKEN_OVER_MS = { first: 5000, factor: 4, most: 3_600_000 };
const CLOSED_MS = { first: 2000, factor: 2, most: 60_000 };
/** Short-lived connections in a row that are nothing unusual. */
const CLOSED_FREELY = 3;
/** A connection that lasts longer than both waits at their longest but one ends a row. */
const LASTING_MS = 1_200_000;
/** A silent close after this is no sign of another client, whose wait would be a minute at most. */
const BRIEF_MS = 120_000;

/** @param usualMs the wait when nothing is wrong */
export function createReconnectPace(
  usualMs: number,
  clock: Clock,
): ReconnectPace {
  let openedMs = 0;
  let takeovers = 0;
  let closes = 0;
  return {
    opened() {
      openedMs = clock();
    },
    ended(takenOver) {
      const livedMs = clock() - openedMs;
      if (livedMs > LASTING_MS) takeovers = 0;
      if (livedMs > BRIEF_MS) closes = 0;
      if (takenOver) {
        takeovers += 1;
        return {
          waitMs: growing(TAKEN_OVER_MS, takeovers),
          inARow: takeovers,
          crowded: true,
        };
      }
      closes += 1;
      const crowded = closes > CLOSED_FREELY;
      return {
        waitMs: crowded ? growing(CLOSED_MS, closes - CLOSED_FREELY) : usualMs,
        inARow: closes,
        crowded,
      };
    },
  };
}

const growing = (
  { first, factor, most }: typeof CLOSED_MS,
  time: number,
): number => Math.min(most, first * factor ** (time - 1));
