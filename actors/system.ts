/** The actor system: started once in a processor; what its failures lead to stands in `supervision.ts`. */
import { start, stop } from "nact";
import type { ApplyMessages } from "../src/domain/decide.js";
import type { DeviceActors, Observer } from "../src/ports.js";
import { spawnPartition } from "./partition.js";
import { createRouter } from "./router.js";

export interface ActorSystemOptions {
  readonly applyMessages: ApplyMessages;
  readonly tenantPrefix: string;
  readonly observer: Observer;
}

export function createActorSystem(options: ActorSystemOptions): DeviceActors {
  const system = start();
  let opened = 0;
  return {
    open(partition, failed) {
      // The number keeps a lane that starts again apart from what nact still stops of the one before.
      const name = `partition-${partition}-${++opened}`;
      return createRouter(spawnPartition(system, name, failed), {
        ...options,
        partition,
      });
    },
    stop: () => stop(system),
  };
}
