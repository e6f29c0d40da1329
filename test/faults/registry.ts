/** All scenarios, by file. A new one: its file in scenarios/, and a line here. */
import type { Scenario } from "./scenario.js";
import { FROZEN } from "./scenarios/frozen.js";
import { PROCESSES } from "./scenarios/processes.js";
import { SERVICES } from "./scenarios/services.js";

export const SCENARIOS: readonly Scenario[] = [
  ...PROCESSES,
  ...SERVICES,
  ...FROZEN,
];
