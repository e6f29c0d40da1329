/** Whether the services around the gateway answer, looked at when somebody asks and shown again for a moment. */
import { ERRORS, reasonOf, TwinstreamError } from "../errors.js";
import type { Clock, Observer } from "../ports.js";
import { inTime } from "./in-time.js";

export interface DependencyCheck {
  readonly part: string;
  /** Resolves when it answers; it may take as long as it likes. A text says why it cannot be looked at. */
  readonly check: (() => Promise<unknown>) | string;
  /** False: the gateway does its own work without it, so it is shown and holds nothing up. True unless given. */
  readonly needed?: boolean;
}

export interface PartHealth {
  readonly part: string;
  /** Null where it is not looked at. */
  readonly ok: boolean | null;
  readonly latency_ms: number | null;
  readonly reason: string | null;
}

export interface Health {
  readonly status: "ok" | "degraded";
  /** Nothing here was found earlier. */
  readonly checked_at: string;
  readonly parts: readonly PartHealth[];
}

export interface DependencyHealth {
  all(): Promise<Health>;
  /** Of what the gateway cannot do without. */
  needed(): Promise<Health>;
}

/** Milliseconds a dependency may take before it counts as not answering. */
const CHECK_MS = 2000;
/** Milliseconds a finding is shown again: many who look must not become load. */
const KEPT_MS = 1000;
/** The same where looking takes a new connection, which the other side may log. */
const KEPT_ASIDE_MS = 10_000;

interface Finding {
  readonly atMs: number;
  readonly found: Promise<PartHealth>;
}

export function createDependencyHealth(deps: {
  readonly checks: readonly DependencyCheck[];
  readonly observer: Observer;
  readonly clock: Clock;
}): DependencyHealth {
  const latest = new Map<string, Finding>();
  /** Looks that nobody waits for any more, by part: a service that hangs is not asked again meanwhile. */
  const hanging = new Map<string, Promise<unknown>>();

  async function health(checks: readonly DependencyCheck[]): Promise<Health> {
    const nowMs = deps.clock();
    const findings = checks.map((check) => findingOf(check, nowMs));
    const parts = await Promise.all(findings.map(({ found }) => found));
    const oldestMs = Math.min(nowMs, ...findings.map(({ atMs }) => atMs));
    return {
      status: parts.some(({ ok }) => ok === false) ? "degraded" : "ok",
      checked_at: new Date(oldestMs).toISOString(),
      parts,
    };
  }

  function findingOf(dependency: DependencyCheck, nowMs: number): Finding {
    const { part, check, needed = true } = dependency;
    if (typeof check === "string")
      return {
        atMs: nowMs,
        found: Promise.resolve({
          part,
          ok: null,
          latency_ms: null,
          reason: `not looked at: ${check}`,
        }),
      };
    const kept = latest.get(part);
    const keptMs = needed ? KEPT_MS : KEPT_ASIDE_MS;
    if (kept !== undefined && nowMs - kept.atMs < keptMs) return kept;
    const finding = { atMs: nowMs, found: lookAt(part, check) };
    latest.set(part, finding);
    return finding;
  }

  async function lookAt(
    part: string,
    check: () => Promise<unknown>,
  ): Promise<PartHealth> {
    const start = performance.now();
    const finding = (reason: string | null): PartHealth => {
      const tookMs = performance.now() - start;
      const ok = reason === null;
      deps.observer.emit({
        type: "dependency",
        part,
        ok,
        seconds: tookMs / 1000,
      });
      return {
        part,
        ok,
        latency_ms: Math.round(tookMs * 10) / 10,
        reason,
      };
    };
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

  function once(part: string, check: () => Promise<unknown>): Promise<unknown> {
    const mine =
      hanging.get(part) ?? check().finally(() => hanging.delete(part));
    hanging.set(part, mine);
    return mine;
  }

  return {
    all: () => health(deps.checks),
    needed: () => health(deps.checks.filter(({ needed = true }) => needed)),
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
