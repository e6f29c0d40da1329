/** Whose messages are taken: the tenants of the database, looked up again every few seconds. */
import { reasonOf } from "../errors.js";
import type { Observer, TelemetryStore } from "../ports.js";

export interface Tenants {
  /** Loads them; until it has resolved no record may be judged. */
  start(): Promise<void>;
  readonly names: () => ReadonlySet<string>;
  stop(): void;
}

/** A tenant that was added or disabled counts from then on at the latest. */
const REFRESH_MS = 5000;

export function followTenants(
  store: Pick<TelemetryStore, "tenants">,
  observer: Observer,
  refreshMs = REFRESH_MS,
): Tenants {
  let names: ReadonlySet<string> = new Set();
  let timer: NodeJS.Timeout | null = null;

  async function load(): Promise<void> {
    names = await store.tenants();
  }

  function refresh(): void {
    load().catch((error: unknown) =>
      observer.emit({
        type: "failure",
        where: "look up tenants",
        error: reasonOf(error),
      }),
    );
  }

  return {
    async start() {
      await load();
      timer ??= setInterval(refresh, refreshMs);
    },
    names: () => names,
    stop() {
      if (timer !== null) clearInterval(timer);
    },
  };
}
