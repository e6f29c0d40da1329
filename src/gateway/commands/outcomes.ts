/**
 * Requests that wait for what becomes of their command. All of a gateway's wait together: one question to the database a
 * tenant and look, whatever their number, and none while nobody waits.
 */
import { reasonOf } from "../../errors.js";
import type { DeviceRecords, Observer } from "../../ports.js";

export interface Outcomes {
  /**
   * Resolves once the command has ended, after `ms` milliseconds, or when `gone` aborts; at once when as many wait as are
   * let wait. Whoever asked looks at the command then.
   */
  wait(
    tenant: string,
    cmdId: string,
    ms: number,
    gone: AbortSignal,
  ): Promise<void>;
  /** Everybody is answered now. */
  stop(): void;
}

const LOOK_MS = 150;
/** Between looks while the database does not answer. */
const TROUBLED_LOOK_MS = 2000;
/** Each holds a request and a socket. */
const MOST_WAITING = 1000;

interface Waiting {
  readonly tenant: string;
  readonly cmdId: string;
  readonly answer: () => void;
}

export function createOutcomes(deps: {
  readonly records: Pick<DeviceRecords, "endedCommands">;
  readonly observer: Observer;
}): Outcomes {
  const waiting = new Set<Waiting>();
  let timer: NodeJS.Timeout | null = null;
  let looking = false;
  let stopped = false;

  function lookIn(ms: number): void {
    if (timer !== null || looking || waiting.size === 0) return;
    timer = setTimeout(() => {
      timer = null;
      void look();
    }, ms);
  }

  async function look(): Promise<void> {
    looking = true;
    let next = LOOK_MS;
    try {
      for (const [tenant, ids] of byTenant(waiting)) {
        const ended = await deps.records.endedCommands(tenant, ids);
        for (const one of waiting)
          if (one.tenant === tenant && ended.has(one.cmdId)) one.answer();
      }
    } catch (error) {
      next = TROUBLED_LOOK_MS;
      deps.observer.emit({
        type: "failure",
        where: "gateway: looking what became of commands",
        error: reasonOf(error),
      });
    }
    looking = false;
    lookIn(next);
  }

  return {
    wait(tenant, cmdId, ms, gone) {
      if (stopped || gone.aborted || waiting.size >= MOST_WAITING)
        return Promise.resolve();
      return new Promise((resolve) => {
        const answer = (): void => {
          clearTimeout(late);
          gone.removeEventListener("abort", answer);
          waiting.delete(one);
          resolve();
        };
        const late = setTimeout(answer, ms);
        const one: Waiting = { tenant, cmdId, answer };
        gone.addEventListener("abort", answer);
        waiting.add(one);
        lookIn(LOOK_MS);
      });
    },
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      for (const { answer } of waiting) answer();
    },
  };
}

function byTenant(waiting: Iterable<Waiting>): Map<string, string[]> {
  const ids = new Map<string, string[]>();
  for (const { tenant, cmdId } of waiting) {
    const known = ids.get(tenant);
    if (known === undefined) ids.set(tenant, [cmdId]);
    else known.push(cmdId);
  }
  return ids;
}
