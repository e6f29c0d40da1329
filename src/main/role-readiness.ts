/** How a role that works on the log tells whether it is ready: what its start waits for, then what it has trouble with. */
import {
  createPatience,
  type Patiently,
  waitsFor,
} from "../pipeline/patience.js";
import type { RoleBase } from "./role.js";

const LOOK_MS = 250;

/** For the stores that a start needs; until the role stops. */
export function startPatience(base: RoleBase, part: string): Patiently {
  const { observer, readiness } = base;
  const starting = new AbortController();
  base.onStop("start", async () => starting.abort());
  return createPatience({
    partition: -1,
    signal: starting.signal,
    observer,
    clock: Date.now,
    waiting: (on) =>
      readiness.report({
        part,
        ok: false,
        reason: on === null ? "starting" : waitsFor(on),
      }),
  });
}

/** Looks for troubles from now on; the role is ready while there are none. */
export function tellTroubles(
  base: RoleBase,
  part: string,
  troubles: () => readonly string[],
): void {
  const look = setInterval(() => {
    const found = troubles();
    base.readiness.report({
      part,
      ok: found.length === 0,
      reason: found.length === 0 ? null : found.join("; "),
    });
  }, LOOK_MS);
  base.onStop("readiness", async () => clearInterval(look));
}
