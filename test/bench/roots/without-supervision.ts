/** The processor without actors: the reducer is called straight, and a throw ends the lane. What is left out is what it costs. */
import type { ApplyMessages } from "../../../src/domain/decide.js";
import type { DeviceState, Effects } from "../../../src/domain/device.js";
import { startProcessor } from "../../../src/main/processor.js";
import { runRoles } from "../../../src/main/role.js";
import type { DeviceActors, LaneActors } from "../../../src/ports.js";

function straight(reducer: ApplyMessages): LaneActors {
  const states = new Map<string, DeviceState>();
  return {
    get size() {
      return states.size;
    },
    has: (address) => states.has(address),
    spawn: (state) => void states.set(state.device.address, state),
    async apply(groups, nowMs) {
      const all: Effects[] = [];
      for (const [address, messages] of groups) {
        const { state, effects } = reducer(
          states.get(address)!,
          messages,
          nowMs,
        );
        states.set(address, state);
        all.push(effects);
      }
      return all;
    },
    passivate: () => 0,
    stop: () => states.clear(),
  };
}

const unsupervised = (
  own: DeviceActors,
  reducer: ApplyMessages,
): DeviceActors => ({
  open: () => straight(reducer),
  stop: own.stop,
});

await runRoles([
  {
    name: "processor",
    start: (base) => startProcessor(base, { actors: unsupervised }),
  },
]);
