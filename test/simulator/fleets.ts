/** A fleet to plan in tests, and its plan in full. */
import type { FleetPlan, Planned } from "../../src/simulator/fleet.js";
import { planFor } from "../../src/simulator/plan.js";

export const START_US = Date.UTC(2025, 10, 20, 10) * 1000;

export const fleetOf = (changes: Partial<FleetPlan> = {}): FleetPlan => ({
  seed: 7,
  devices: 10,
  startUs: START_US,
  rate: 100,
  messages: 1000,
  mix: { normalised: 70, plain: 20, parsec: 5, hello: 5 },
  outOfOrder: 0,
  duplicates: 0,
  poison: 0,
  points: 4,
  tenants: false,
  ...changes,
});

export const everyDevice = (fleet: FleetPlan): number[] =>
  Array.from({ length: fleet.devices }, (_, i) => i);

export function planned(
  fleet: FleetPlan,
  devices: readonly number[] = everyDevice(fleet),
): Planned[] {
  const plan = planFor(fleet, devices);
  const all: Planned[] = [];
  while (plan.dueUs() !== Infinity) all.push(plan.next());
  return all;
}
