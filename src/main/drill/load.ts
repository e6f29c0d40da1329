/** A drill's own fleet, with its sender's ledger. */
import { setTimeout as pause } from "node:timers/promises";
import { read, type SimulateOptions } from "../../simulator/options.js";
import { simulate } from "../../simulator/simulate.js";
import type { Progress } from "../../simulator/tally.js";
import type { DrillOptions } from "./run.js";

const HOUR_US = 3_600_000_000;
const LOOK_MS = 100;
/** Seconds in which answers to what is under way at the end must come. */
const DRAIN_SECONDS = 30;

export type Load = ReturnType<typeof startLoad>;

/** Sends at once. */
export function startLoad(
  { devices, rate, seed, steady, drill, backlog }: DrillOptions,
  to: { mqttUrl: string; tenantPrefix: string; prefix: string; ledger: string },
) {
  const stop = new AbortController();
  const kept = drill === "reconnect" ? backlog : 0;
  // Due only once the devices are cut off: the progress that tells of it comes once a second.
  const after = Math.ceil(((steady + 2) * rate) / devices);
  const fleet: SimulateOptions = {
    devices,
    rate,
    seed,
    prefix: to.prefix,
    ledger: to.ledger,
    connections: devices,
    mix: read.mix("normalised=70,plain=20,parsec=5,hello=5"),
    outOfOrder: 0.01,
    duplicates: 0.01,
    poison: 0.005,
    points: 6,
    qos: 1,
    answerCommands: false,
    drain: DRAIN_SECONDS,
    speed: 0,
    point: "value",
    ...(kept === 0
      ? {}
      : {
          start: Date.now() * 1000 - HOUR_US,
          backlog: { after, turns: kept, spanUs: HOUR_US },
        }),
  };
  let newest: Progress | null = null;
  let failure: unknown = null;
  const ended = simulate(fleet, {
    mqttUrl: to.mqttUrl,
    tenantPrefix: to.tenantPrefix,
    signal: stop.signal,
    notice: () => undefined,
    progress: (at) => {
      newest = at;
    },
  });
  ended.catch((error: unknown) => {
    failure = error;
  });
  return {
    /** When the backlog is due, seconds after the load's start; 0 where there is none. */
    backlogSeconds: kept === 0 ? 0 : (after * devices) / rate,
    kept: kept * devices,
    progress: (): Progress | null => newest,
    /** @throws what ended the load; the signal's reason */
    async until(
      met: (at: Progress) => boolean,
      signal: AbortSignal,
    ): Promise<void> {
      while (newest === null || !met(newest)) {
        if (failure !== null) throw failure;
        await pause(LOOK_MS, undefined, { signal });
      }
    },
    end() {
      stop.abort();
      return ended;
    },
  };
}
