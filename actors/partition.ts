/**
 * The partition supervisor: parent of its device actors, and not on the message path, because nact copies a parent's whole
 * child map for every message that the parent handles.
 */
import { spawn, type ActorProps, type ActorSystemRef, type Ref } from "nact";
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

/** Spawns device actors below the partition; what they share is made once, not once a device. */
export function deviceSpawner(
  partition: Ref<never>,
  behaviour: DeviceBehaviour,
): (name: string, shell: DeviceShell) => TypedRef<DeviceBatch> {
  const handle = (state: DeviceShell, batch: DeviceBatch): DeviceShell =>
    handleBatch(behaviour, state, batch);
  const shared: ActorProps<DeviceShell, DeviceBatch, Ref<never>> = {
    // Messages that crash are handled inside `handleBatch`; what arrives here is a fault of the shell itself.
    onCrash: (batch, error, context) => {
      batch?.fail(error);
      return context.escalate;
    },
    // nact would make a function for each actor that has none.
    afterStop: () => undefined,
  };
  return (name, shell) =>
    spawn(partition, handle, name, {
      ...shared,
      initialState: shell,
    }) as TypedRef<DeviceBatch>;
}
