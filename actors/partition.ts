/**
 * The partition supervisor: parent of its device actors, and not on the message path, because nact copies a parent's whole
 * child map for every message that the parent handles.
 */
import { spawn, type ActorSystemRef, type Ref } from "nact";
import {
  handleBatch,
  type DeviceBatch,
  type DeviceBehaviour,
  type DeviceShell,
} from "./device.js";
import type { TypedRef } from "./ref.js";

/** `failed` is called when a child failed outside of what its own supervision handles: the lane then starts again. */
export function spawnPartition(
  system: ActorSystemRef,
  name: string,
  failed: (error: unknown) => void,
): Ref<never> {
  return spawn(system, (state: null) => state, name, {
    initialState: null,
    onCrash: (_message, error, context) => {
      failed(error);
      return context.stopAllChildren;
    },
  }) as Ref<never>;
}

export function spawnDevice(
  partition: Ref<never>,
  name: string,
  behaviour: DeviceBehaviour,
  shell: DeviceShell,
): TypedRef<DeviceBatch> {
  return spawn(
    partition,
    (state: DeviceShell, batch: DeviceBatch) =>
      handleBatch(behaviour, state, batch),
    name,
    {
      initialState: shell,
      // Messages that crash are handled inside `handleBatch`; what arrives here is a fault of the shell itself.
      onCrash: (batch, error, context) => {
        batch?.fail(error);
        return context.escalate;
      },
    },
  ) as TypedRef<DeviceBatch>;
}
