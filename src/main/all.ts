/** Every role, for one process that does it all. */
import { bridge } from "./bridge.js";
import { gateway } from "./gateway.js";
import { processor } from "./processor.js";
import type { Role } from "./role.js";
import { worker } from "./worker.js";

export const ROLES: readonly Role[] = [processor, bridge, gateway, worker];
