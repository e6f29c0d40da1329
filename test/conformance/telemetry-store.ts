/** What every TelemetryStore must do, whether it is the database or the double that other tests use in its place. */
import { suite } from "uvu";
import type { TypeClass } from "../../src/domain/message.js";
import type {
  CommandState,
  LedgerStore,
  TelemetryStore,
} from "../../src/ports.js";
import { commandTests } from "./telemetry-store-commands.js";
import { deviceTests } from "./telemetry-store-devices.js";
import { fenceTests } from "./telemetry-store-fence.js";
import { ledgerTests } from "./telemetry-store-ledger.js";
import { letterTests } from "./telemetry-store-letters.js";
import { rowTests } from "./telemetry-store-rows.js";

/** A store that nobody else uses, and a look into it that does not go through the port. */
export interface StoreRig {
  readonly store: TelemetryStore;
  /** Over the same data. */
  readonly ledger: LedgerStore;
  /** Faults, put in past the store. */
  readonly plant: Plant;
  /** In order of (device, sensor, time). */
  rows(): Promise<SeenRow[]>;
  /** In order of (offset, item). */
  letters(): Promise<SeenLetter[]>;
  commands(): Promise<Map<string, SeenCommand>>;
  /** By command id. */
  acks(): Promise<Map<string, SeenAck>>;
  /** Payloads. */
  events(): Promise<string[]>;
  /** From now on the sensor `refused` takes no value above 100. */
  refuseAbove100(): Promise<void>;
  /** Registers a known device with an adapter; null ends it. */
  setAdapter(
    tenant: string,
    deviceId: string,
    adapter: string | null,
  ): Promise<void>;
}
export interface Plant {
  /** @param sensor its name */
  deleteRow(sensor: string): Promise<void>;
  changeValue(sensor: string, value: number): Promise<void>;
  /** Writes every row of the sensor a second time. */
  doubleRow(sensor: string): Promise<void>;
  /** Letters of a record. */
  deleteLetter(offset: number): Promise<void>;
}
export interface SeenRow {
  readonly device: string;
  readonly name: string;
  readonly typeClass: TypeClass;
  readonly timeUs: number;
  readonly value: number | null;
  readonly text: string | null;
}
export interface SeenLetter {
  readonly offset: number;
  readonly item: number;
  readonly reason: string;
  readonly device: string | null;
  readonly payload: string;
  readonly attempts: number;
  /** Its replay took effect. */
  readonly replayed: boolean;
}
export interface SeenCommand {
  readonly state: CommandState;
  readonly ok: boolean | null;
  readonly err: string | null;
  /** The states it went through. */
  readonly history: string[];
}
export interface SeenAck {
  readonly device: string;
  readonly ok: boolean;
  readonly execUs: number;
  readonly late: boolean;
  readonly known: boolean;
}
/** Registers one sentence. */
export type StoreTest = (
  sentence: string,
  work: (rig: StoreRig) => Promise<void>,
) => void;
export interface StoreSource {
  /** Runs a test on a store that holds nothing yet. */
  use(work: (rig: StoreRig) => Promise<void>): Promise<void>;
  /** After the last test. */
  close(): Promise<void>;
}

/** `skip` says why these tests cannot run here. */
export function telemetryStoreConformance(
  name: string,
  source: StoreSource,
  skip: string | null = null,
): void {
  const tests = suite(`telemetry store: ${name}`);
  const test = (sentence: string, work: (rig: StoreRig) => Promise<void>) => {
    if (skip === null) tests(sentence, () => source.use(work));
    else tests.skip(sentence);
  };
  if (skip !== null) console.log(`skipped: telemetry store: ${name}: ${skip}`);

  fenceTests(test);
  rowTests(test);
  letterTests(test);
  deviceTests(test);
  commandTests(test);
  ledgerTests(test);
  if (skip === null)
    tests("what these tests ran on is put away", () => source.close());
  tests.run();
}
