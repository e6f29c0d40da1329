/** What a simulated device has under way. */
import type { Outgoing } from "../adapters/mqtt/device-client.js";
import type { SimulatedDevice } from "./devices.js";
import type { Planned } from "./fleet.js";

/** One message of the plan, or (`planned` null) a device's ack to a command. */
export interface Message extends Outgoing {
  readonly device: SimulatedDevice;
  readonly planned: Planned | null;
  /** The latest attempt that the ledger has. */
  recorded: number;
  settled: boolean;
}

export const compose = (
  device: SimulatedDevice,
  topic: Buffer,
  payload: Buffer,
  planned: Planned | null,
): Message => ({
  device,
  topic,
  payload,
  planned,
  attempt: 0,
  sentMs: 0,
  recorded: 0,
  settled: false,
});
