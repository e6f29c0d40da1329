/** All scenarios, by file. A new one: its file in scenarios/, and a line here. */
import type { Scenario } from "./scenario.js";
import { INPUT } from "./scenarios/input.js";
import { LOGS } from "./scenarios/logs.js";
import { FROZEN } from "./scenarios/frozen.js";
import { LINKS } from "./scenarios/links.js";
import { OUTAGES } from "./scenarios/outages.js";
import { PROCESSES } from "./scenarios/processes.js";
import { READERS } from "./scenarios/readers.js";
import { SERVICES } from "./scenarios/services.js";
import { STORMS } from "./scenarios/storms.js";

export const SCENARIOS: readonly Scenario[] = [
  ...PROCESSES,
  ...SERVICES,
  ...FROZEN,
  ...LOGS,
  ...INPUT,
  ...STORMS,
  ...READERS,
  ...LINKS,
  ...OUTAGES,
];
