/** Whether what the gateway stands on answers, looked at when somebody asks and shown again for a moment. */
import { ERRORS, reasonOf, TwinstreamError } from "../errors.js";
import type { Clock, Observer } from "../ports.js";
import { inTime } from "./in-time.js";

/** A service the gateway cannot do without. */
export interface DependencyCheck {
  readonly part: string;
  /** Resolves when it answers; it may take as long as it likes. */
  readonly check: () => Promise<unknown>;
}

export interface PartHealth {
  readonly part: string;
  readonly ok: boolean;
  readonly latency_ms: number;
  readonly reason: string | null;
}

export interface Health {
  readonly status: "ok" | "degraded";
  readonly checked_at: string;
  readonly parts: readonly PartHealth[];
}

/** Milliseconds a dependency may take before it counts as not answering. */
const CHECK_MS = 2000;
/** Milliseconds a finding is shown again: many who look must not become load. */
const KEPT_MS = 1000;

export function createDependencyHealth(deps: {
  readonly checks: readonly DependencyCheck[];
  readonly observer: Observer;
  readonly clock: Clock;
}): () => Promise<Health> {
  let latest: { atMs: number; health: Promise<Health> } | null = null;
  /** Looks that nobody waits for any more, by part: a service that hangs is not asked again meanwhile. */
  const hanging = new Map<string, Promise<unknown>>();

  async function look(nowMs: number): Promise<Health> {
    const parts = await Promise.all(deps.checks.map(lookAt));
    return {
      status: parts.every((part) => part.ok) ? "ok" : "degraded",
      checked_at: new Date(nowMs).toISOString(),
      parts,
    };
  }

  async function lookAt({ part, check }: DependencyCheck): Promise<PartHealth> {
    const start = performance.now();
    const finding = (reason: string | null): PartHealth => ({
      part,
      ok: reason === null,
      latency_ms: Math.round((performance.now() - start) * 10) / 10,
      reason,
    });
    try {
      await inTime(once(part, check), CHECK_MS, "TOO_SLOW");
      return finding(null);
    } catch (error) {
      deps.observer.emit({
        type: "failure",
        where: `gateway health: ${part}`,
        error: reasonOf(error),
      });
      return finding(shown(error));
    }
  }

  function once(
    part: string,
    check: DependencyCheck["check"],
  ): Promise<unknown> {
    const mine =
      hanging.get(part) ?? check().finally(() => hanging.delete(part));
    hanging.set(part, mine);
    return mine;
  }

  return () => {
    const now = deps.clock();
    if (latest === null || now - latest.atMs >= KEPT_MS)
      latest = { atMs: now, health: look(now) };
    return latest.health;
  };
}

/** Anyone may ask: the code's own text, not the client library's, which names hosts and users. */
function shown(error: unknown): string {
  if (!(error instanceof TwinstreamError))
    return "failed; the log has the cause";
  return error.code === "TOO_SLOW"
    ? `no answer within ${CHECK_MS} ms`
    : ERRORS[error.code].message;
}
