/** Until when everything is known, as the processors show it in Redis: looked at every second, not with every request. */
import { reasonOf } from "../errors.js";
import type { DeviceViewReader, Observer, ShownHorizon } from "../ports.js";

export interface FollowedHorizon {
  start(): Promise<void>;
  /** Null while none is shown: then the clock counts. */
  readonly current: () => ShownHorizon | null;
  stop(): void;
}

const EVERY_MS = 1000;

export function followHorizon(
  view: Pick<DeviceViewReader, "horizon">,
  observer: Observer,
  everyMs = EVERY_MS,
): FollowedHorizon {
  let shown: ShownHorizon | null = null;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    try {
      shown = await view.horizon();
    } catch (error) {
      // What was last known still holds: it says until when, not how things are.
      observer.emit({
        type: "failure",
        where: "gateway: look until when everything is known",
        error: reasonOf(error),
      });
    }
  }

  return {
    async start() {
      timer ??= setInterval(() => void look(), everyMs);
      await look();
    },
    current: () => shown,
    stop: () => clearInterval(timer),
  };
}
