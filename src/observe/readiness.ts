/** What `/ready` answers: each part of the process says for itself whether it can do its work. */

export interface PartState {
  readonly part: string;
  readonly ok: boolean;
  /** Why it is not ready, in words for a person; null when it is. */
  readonly reason: string | null;
}

export interface Readiness {
  /** A part's new state; it stands until the next report. */
  readonly report: (state: PartState) => void;
  /** A part that is no more, such as a partition given away. */
  readonly forget: (part: string) => void;
  /** Ready when there are parts and all are. Parts in the order in which they first appeared. */
  readonly state: () => { ready: boolean; parts: PartState[] };
}

/** `expected` parts are not ready until they say so, so that a process is not taken for ready before it began. */
export function createReadiness(expected: readonly string[]): Readiness {
  const parts = new Map<string, PartState>(
    expected.map((part) => [part, { part, ok: false, reason: "starting" }]),
  );
  return {
    report(state) {
      parts.set(state.part, state);
    },
    forget(part) {
      parts.delete(part);
    },
    state() {
      const all = [...parts.values()];
      return {
        ready: all.length > 0 && all.every((part) => part.ok),
        parts: all,
      };
    },
  };
}
