/** The roles, each loaded only where it runs: a worker takes 30 MiB less without what the others import. */
import type { Role } from "./role.js";

const ROLES: Readonly<Record<string, () => Promise<Role>>> = {
  processor: async () => (await import("./processor.js")).processor,
  bridge: async () => (await import("./bridge.js")).bridge,
  gateway: async () => (await import("./gateway.js")).gateway,
  worker: async () => (await import("./worker.js")).worker,
};

/** @param name of a role, or `all` for one process that does it all */
export const loadRoles = (name: string): Promise<Role[]> =>
  Promise.all(
    Object.entries(ROLES).flatMap(([role, load]) =>
      name === "all" || name === role ? [load()] : [],
    ),
  );
