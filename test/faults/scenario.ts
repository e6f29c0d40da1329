/**
 * The words of the fault suite. A scenario is a description: which roles run, what the fleet sends, what is done to whom and
 * when, and what must hold. A trial is one run of it: a stack of its own → roles → load → the acts of a seeded schedule →
 * healed → quiet → the sender's ledgers against what is there.
 */
import type { Random } from "../../src/simulator/random.js";
import type { Comparison } from "../../src/simulator/compare.js";
import type { Ground } from "./ground.js";
import type { Fleet } from "./load.js";
import type { ServiceName, Stack } from "../support/services.js";

export type RoleName = "bridge" | "processor" | "gateway" | "worker";

/** What a run may be given otherwise. */
export interface Knobs {
  /** Of the load and of the schedule. */
  readonly seed: number;
  /** The load goes on for so long. */
  readonly seconds: number;
  /** Messages a second over the fleet. */
  readonly rate: number;
  readonly devices: number;
}

/** The load that the suite is for; a scenario says where it needs another. */
export const FULL: Omit<Knobs, "seed"> = {
  seconds: 60,
  rate: 2000,
  devices: 1000,
};

/** One thing that is done while the load is on. */
export interface Act {
  /** Seconds after the load's first message. */
  readonly at: number;
  /** Whom it is done to: what is done to one and the same is done one after the other. */
  readonly to: string;
  /** In words, for the printed schedule. */
  readonly does: string;
  /** Resolves once what it broke is whole again as far as it can tell; what it throws fails the trial. */
  run(ground: Ground): Promise<void>;
}

export interface Scenario {
  /** Short, for --only: lower case and hyphens. */
  readonly name: string;
  readonly does: string;
  readonly expects: string;
  /** Where they are not those of FULL; what the command line says goes before. */
  readonly knobs?: Partial<Omit<Knobs, "seed">>;
  /** How many of each; a bridge and a processor unless it says otherwise. */
  readonly roles?: Readonly<Partial<Record<RoleName, number>>>;
  /** Beside kafka, redis, postgres and mqtt. */
  readonly services?: readonly Extract<ServiceName, "minio">[];
  /** Settings of all roles. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Settings that are known only once the services run, such as the address of a proxy before one of them. */
  readonly prepare?: (
    stack: Stack,
    onEnd: Ground["onEnd"],
  ) => Promise<Readonly<Record<string, string>>>;
  /** Other composition roots than the command line, for faults that are planted in a role. */
  readonly scripts?: Readonly<Partial<Record<RoleName, string>>>;
  /** What the fleet sends, where it is not the usual; asked for just before it begins. */
  readonly fleet?: (ground: Ground) => Partial<Fleet>;
  /** Before the load. */
  readonly before?: (ground: Ground) => Promise<void>;
  /** Commands are given through a gateway all the while, and each must end. */
  readonly commands?: boolean;
  /** Uploads are sent to a gateway all the while, and each must be stored. */
  readonly uploads?: boolean;
  readonly schedule: (draw: Random, knobs: Knobs) => readonly Act[];
  /** Whether a hard end of the broker may cost what it had acknowledged: it is stated apart then, else it is a violation. */
  readonly brokerLoss?: "stated";
  /** Further violations, and figures by `ground.figure`; called once all is quiet. */
  readonly also?: (
    ground: Ground,
    found: Comparison,
  ) => Promise<readonly string[]>;
  /** Why the fault shows nothing, though every act was done; null when it bit. */
  readonly missed?: (ground: Ground, found: Comparison) => string | null;
  /** Seconds that may pass between the last act's end, or the load's, and quiet. */
  readonly deadline?: number;
}

/** Declares the scenarios of one file. */
export const scenarios = (...all: Scenario[]): readonly Scenario[] => all;
