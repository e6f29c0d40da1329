/**
 * The router of one partition: holds the references to its device actors, sends each its share of a batch, and is the only
 * one that stops them (forget first, then stop), because nact drops a message to a stopped actor without a word.
 */
import { stop, type Ref } from "nact";
import type { DeviceState, Effects } from "../src/domain/device.js";
import type { Groups, LaneActors } from "../src/ports.js";
import type { DeviceBatch, DeviceBehaviour } from "./device.js";
import { deviceSpawner } from "./partition.js";
import { send, type TypedRef } from "./ref.js";

interface Live {
  readonly ref: TypedRef<DeviceBatch>;
  usedMs: number;
}

/** nact takes neither `/` nor `:` in a name, and an address holds neither `$` nor `+`. */
const actorName = (address: string): string =>
  `device-${address.replaceAll("/", "$").replaceAll(":", "+")}`;

const NO_CRASHES: readonly number[] = [];
const NOBODY = (): void => undefined;

export function createRouter(
  partition: Ref<never>,
  behaviour: DeviceBehaviour,
): LaneActors {
  const spawnDevice = deviceSpawner(partition, behaviour);
  // In order of use, the longest unused first.
  const live = new Map<string, Live>();
  /** Rejects the `apply` under way; its actors would answer no more once they are stopped. */
  let leave: (error: Error) => void = NOBODY;

  const letGo = (address: string, actor: Live): void => {
    live.delete(address);
    stop(actor.ref);
  };

  return {
    get size() {
      return live.size;
    },
    has: (address) => live.has(address),

    spawn(state: DeviceState) {
      const { address } = state.device;
      const ref = spawnDevice(actorName(address), {
        state,
        crashesMs: NO_CRASHES,
      });
      live.set(address, { ref, usedMs: 0 });
    },

    apply(groups: Groups, nowMs: number): Promise<Effects[]> {
      return new Promise((resolve, reject) => {
        leave = reject;
        const effects: Effects[] = [];
        let waiting = groups.size;
        const settled = (): void => {
          // What was applied last is not kept for the sake of a lane that ends later.
          leave = NOBODY;
          resolve(effects);
        };
        if (waiting === 0) settled();
        const settle = (effect: Effects): void => {
          effects.push(effect);
          if (--waiting === 0) settled();
        };
        for (const [address, messages] of groups) {
          const actor = live.get(address);
          if (actor === undefined) {
            reject(new Error(`no actor was spawned for device ${address}`));
            return;
          }
          live.delete(address);
          live.set(address, actor);
          actor.usedMs = nowMs;
          send(actor.ref, { messages, nowMs, settle, fail: reject });
        }
      });
    },

    passivate(keep, idleSinceMs, busy) {
      let gone = 0;
      for (const [address, actor] of live) {
        if (actor.usedMs >= idleSinceMs && live.size <= keep) break;
        if (busy(address)) continue;
        letGo(address, actor);
        gone++;
      }
      return gone;
    },

    stop() {
      for (const [address, actor] of live) letGo(address, actor);
      stop(partition);
      leave(new Error("the lane has ended"));
    },
  };
}
