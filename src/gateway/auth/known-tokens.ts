/**
 * Whose an access token is, once it was found good: to work out its signature and to parse it for every request took a tenth
 * of a small read. Nothing here can be stale: a token says the same until it expires, and is good for so long whatever becomes
 * of its user or session (deploy/decisions/0005). Bounded: the token known longest goes first.
 */
import type { User } from "../../ports.js";

const MOST = 1000;

export interface KnownToken {
  readonly user: User;
  /** Unix milliseconds. */
  readonly untilMs: number;
}

export interface KnownTokens {
  /** By the Authorization header as it came; null when it is not known, or has expired. */
  find(header: string): KnownToken | null;
  /** @param untilMs Unix milliseconds */
  add(header: string, user: User, untilMs: number): void;
}

/** By the system's clock, which also decides when a token is looked at for the first time. */
export function createKnownTokens(
  clock: () => number = Date.now,
  most = MOST,
): KnownTokens {
  const known = new Map<string, KnownToken>();
  return {
    find(header) {
      const found = known.get(header);
      if (found === undefined) return null;
      if (clock() <= found.untilMs) return found;
      known.delete(header);
      return null;
    },
    add(header, user, untilMs) {
      const [oldest] = known.keys();
      if (known.size >= most && oldest !== undefined) known.delete(oldest);
      known.set(header, { user, untilMs });
    },
  };
}
