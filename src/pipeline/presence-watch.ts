/** A lane's look at who fell silent, and the count of who came and went. */
import { DISCONNECTED, SILENT } from "../domain/presence.js";
import type {
  DeviceView,
  Observer,
  PresenceChange,
  PresenceMove,
} from "../ports.js";
import { createReach, type Known } from "./horizon.js";
import type { Patiently } from "./patience.js";
import { createPresence, type Presence } from "./presence.js";

export interface PresenceWatch extends Pick<
  Presence,
  "size" | "load" | "note"
> {
  /** Until when everything the lane's devices said is known, microseconds; 0 when not known yet. */
  readonly knownUs: number;
  /** Sends away who fell silent. `storedTo`: the lane has stored everything before this offset. */
  look(storedTo: number): Promise<void>;
  end(): void;
}

export interface PresenceWatchDeps {
  readonly partition: number;
  readonly timeoutUs: number;
  readonly known: () => Known | null;
  readonly view: Pick<DeviceView, "offline">;
  readonly observer: Observer;
  readonly patiently: Patiently;
  /** What the next flush is to tell the database. */
  readonly tell: (changes: readonly PresenceChange[]) => void;
}

export function createPresenceWatch(deps: PresenceWatchDeps): PresenceWatch {
  const { timeoutUs, view, observer } = deps;
  const moves: Record<PresenceMove, number> = {
    online: 0,
    [SILENT]: 0,
    [DISCONNECTED]: 0,
  };
  const presence = createPresence(timeoutUs, (move) => (moves[move] += 1));
  const reach = createReach(deps.known, deps.partition);
  let knownUs = 0;

  function count(): void {
    for (const to of Object.keys(moves) as PresenceMove[]) {
      if (moves[to] === 0) continue;
      observer.emit({ type: "presence_changed", to, count: moves[to] });
      moves[to] = 0;
    }
  }

  return {
    get size() {
      return presence.size;
    },
    get knownUs() {
      return knownUs;
    },
    load: presence.load,
    note: presence.note,
    async look(storedTo) {
      knownUs = reach(storedTo);
      const gone = presence.silent(knownUs);
      count();
      if (gone.length === 0) return;
      deps.tell(gone);
      const silent = gone.map(({ device, seenUs }) => ({
        device,
        seenUs,
        unlessAfterUs: knownUs - timeoutUs,
        cause: SILENT,
      }));
      await deps.patiently(() => view.offline(silent));
    },
    end: count,
  };
}
