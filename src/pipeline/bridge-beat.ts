/**
 * A bridge's beat: "all that devices had said until then, as far as it comes through me, is on the log".
 *
 * Every two seconds the bridge says the time to itself through the broker. The broker keeps one queue for the bridge's session,
 * so what comes back has passed behind everything that waited there, be it a backlog of hours; and the bridge tells this
 * file only once all that came before is on the log. While the broker, the way to it, the bridge or the log is away there
 * are no beats, and the processors know that silence is not the devices'.
 */
import { TOPIC } from "../domain/names.js";
import { BEAT_MS } from "../domain/presence.js";
import { reasonOf } from "../errors.js";
import type { Clock, LogWriter, Observer, PacketSource } from "../ports.js";

export interface Beat {
  start(): void;
  /** A probe has come back and everything before it is on the log. */
  probed(text: string): void;
  stop(): void;
}

export interface BeatParts {
  readonly source: Pick<PacketSource, "probe" | "connected">;
  readonly log: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
}

/** Connected, and nothing comes back for so long: a broker that does not let the bridge hear itself, or a long backlog. */
const UNHEARD_MS = 60_000;

export function createBeat(
  { source, log, observer, clock }: BeatParts,
  bridgeId: string,
  everyMs = BEAT_MS,
): Beat {
  let timer: NodeJS.Timeout | undefined;
  let telling = false;
  /** When a probe last came back, or there was no connection. */
  let heardMs = clock();

  function probe(): void {
    if (!source.connected()) {
      heardMs = clock();
      return;
    }
    source.probe(String(clock()));
    if (clock() - heardMs < UNHEARD_MS) return;
    observer.emit({
      type: "failure",
      where: "the bridge's beat",
      error: `nothing that the bridge says to itself on twinstream/bridges/… has come back for ${UNHEARD_MS / 1000} s: it is behind, or the broker does not let it publish and subscribe there; no device is called silent meanwhile`,
    });
  }

  async function tell(untilMs: number): Promise<void> {
    telling = true;
    try {
      await log.append(TOPIC.beats, [
        {
          key: bridgeId,
          value: Buffer.from(
            JSON.stringify({ bridge_id: bridgeId, until: untilMs }),
          ),
        },
      ]);
    } catch (error) {
      // The next beat says more than this one did.
      observer.emit({
        type: "failure",
        where: "the bridge's beat",
        error: reasonOf(error),
      });
    } finally {
      telling = false;
    }
  }

  return {
    start() {
      heardMs = clock();
      timer = setInterval(probe, everyMs);
      probe();
    },
    probed(text) {
      heardMs = clock();
      const untilMs = Number(text);
      if (!telling && Number.isFinite(untilMs)) void tell(untilMs);
    },
    stop: () => clearInterval(timer),
  };
}

/** What a record of the beats says; null for one that is none. */
export function readBeat(
  value: Buffer | null,
): { readonly bridgeId: string; readonly untilMs: number } | null {
  try {
    const { bridge_id: bridgeId, until: untilMs } = JSON.parse(
      String(value),
    ) as Record<string, unknown>;
    return typeof bridgeId === "string" && typeof untilMs === "number"
      ? { bridgeId, untilMs }
      : null;
  } catch {
    // Not JSON: whoever wrote it was no bridge.
    return null;
  }
}
