/** How each check is made. It throws when something is not so, and else says what it saw. */
import { acksCount } from "./acks.js";
import { badPayloadsAreKept } from "./dead-letters.js";
import type { Ground } from "./ground.js";
import { tenantsSeeTheirOwn } from "./isolation.js";
import { latency } from "./latency.js";
import type { CheckName } from "./names.js";
import {
  brokerTakes,
  gatewayShows,
  telemetryPersists,
  viewShows,
} from "./telemetry.js";
import { throughput } from "./throughput.js";

export interface Seen {
  /** One sentence. */
  readonly found: string;
  /** By name with its unit. */
  readonly figures?: Readonly<Record<string, number>>;
}

export const HOW: Readonly<
  Record<CheckName, (ground: Ground, signal: AbortSignal) => Promise<Seen>>
> = {
  mqtt: brokerTakes,
  telemetry: telemetryPersists,
  view: viewShows,
  http: gatewayShows,
  "dead-letters": badPayloadsAreKept,
  throughput,
  latency,
  acks: acksCount,
  isolation: tenantsSeeTheirOwn,
};
