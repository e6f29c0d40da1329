/** A trial of an adapter: records go through the decoder twice, as things are and with the adapter for every payload. */
import type { Adapter } from "./adapters/adapter.js";
import { chooserOf } from "./adapters/registry.js";
import { type DecodeRules, isDeadLetter } from "./decode.js";
import { createDryRun, type DryRun } from "./dry-run.js";
import type { LogRecord } from "./message.js";
import { createShadow, type Shadow, type Way } from "./shadow.js";

export interface TrialSetting {
  readonly adapter: Adapter;
  readonly rules: Omit<DecodeRules, "adapterOf">;
  /** Names of adapters by device address, as they are now. */
  readonly registered: ReadonlyMap<string, string>;
  /** Null for all. */
  readonly tenant: string | null;
  readonly deviceId: string | null;
}

export interface Trial {
  /**
   * @param place where it lies, for people
   * @param before what became of it when it was read first; when not given, what would now
   */
  read(record: LogRecord, place: string, before?: Way): void;
  /** Left out without a look: it would tell nothing. */
  leaveOut(): void;
  readonly found: TrialResult;
}

export interface TrialResult extends Pick<Shadow, "counts" | "samples"> {
  /** Messages that were read both ways. */
  readonly messages: number;
  /** Of them, those whose payload names another adapter, which goes before what a device is registered with. */
  readonly namedOther: number;
  /** Hellos, states, events, acks, and what is faulty before an adapter sees it. */
  readonly notTelemetry: number;
}

export function createTrial(setting: TrialSetting): Trial {
  const { adapter, rules, registered, tenant, deviceId } = setting;
  const shadow = createShadow();
  const asIs = createDryRun(
    rules,
    chooserOf(() => registered),
  );
  const asTried = createDryRun(rules, () => adapter);
  let messages = 0;
  let namedOther = 0;
  let notTelemetry = 0;

  return {
    get found() {
      const { counts, samples } = shadow;
      return { messages, namedOther, notTelemetry, counts, samples };
    },
    leaveOut() {
      notTelemetry++;
    },
    read(record, place, before) {
      const tried = asTried(record);
      const { outcome } = tried;
      if (tenant !== null && outcome.tenant !== tenant) return;
      if (deviceId !== null && outcome.deviceId !== deviceId) return;
      if (tried.reading === null) {
        notTelemetry++;
        return;
      }
      const present = asIs(record);
      const { reading } = present;
      messages++;
      if (reading?.byName && reading.adapter !== adapter.name) namedOther++;
      shadow.add({
        place,
        tenant: outcome.tenant,
        deviceId: outcome.deviceId,
        payload: "payload" in outcome ? outcome.payload.toString() : "",
        before: before ?? wayOf(present),
        after: wayOf(tried),
      });
    },
  };
}

/** An adapter was asked, so it is telemetry or its dead letter. */
function wayOf({ outcome, reading }: DryRun): Way {
  const adapter = reading?.adapter ?? null;
  if (isDeadLetter(outcome))
    return { adapter, reason: outcome.reason, detail: outcome.detail };
  if (outcome.kind !== "data")
    throw new Error(
      `an adapter was asked about a message of kind ${outcome.kind}`,
    );
  return { adapter, timeUs: outcome.timeUs, points: outcome.points };
}
