/**
 * One drill: a load of its own → steady → fault → held → healed → caught up → the load ends → all of it is through → what
 * the sender knows against what is there. What was broken is healed before it answers or throws.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ulid } from "ulid";
import { createLogInspector } from "../../adapters/kafka/inspector.js";
import type { Config } from "../../config.js";
import { TOPIC } from "../../domain/names.js";
import type { Comparison, Logged } from "../../simulator/compare.js";
import { openLink } from "../../simulator/link.js";
import { commandLogConnection } from "../kafka-log.js";
import {
  compareWithStores,
  logReading,
  readLedger,
  readUntilQuiet,
} from "./evidence.js";
import { cutting, ending, Void } from "./faults.js";
import { type Load, startLoad } from "./load.js";
import type { DrillName } from "./names.js";
import type { DrillStack } from "./stack.js";
import { isLevel, type Look, type Watch, watch } from "./watch.js";

export interface DrillOptions {
  readonly drill: DrillName;
  readonly devices: number;
  /** Messages a second of the whole fleet. */
  readonly rate: number;
  /** Seconds. */
  readonly steady: number;
  readonly down: number;
  readonly deadline: number;
  /** Messages that each device has kept (reconnect). */
  readonly backlog: number;
  readonly empty: boolean;
  readonly seed: number;
}

/** Times are seconds after the fault; null: not within the deadline. */
export interface DrillResult extends Comparison {
  readonly drill: DrillName;
  readonly run: string;
  readonly seed: number;
  readonly devices: number;
  readonly rate: number;
  readonly fault: string;
  readonly ledger: string;
  /** When what was broken ran again. */
  readonly healedSeconds: number;
  readonly firstRowSeconds: number | null;
  /** When all but the last second of the log was stored, the processor ready and the view whole. */
  readonly caughtUpSeconds: number | null;
  /** The longest time in which nothing was stored. */
  readonly stalledSeconds: number;
  /** What was waited for at the deadline; null when it recovered. */
  readonly notRecovered: string | null;
  /** Why it shows nothing; null when the fault bit. */
  readonly voided: string | null;
  /** Resident bytes at most during the drill, by role. */
  readonly peakBytes: Readonly<Record<string, number>>;
}

/** Of the processor behind the log, when it counts as caught up. */
const LEVEL_MS = 1000;
const LOOK_MS = 100;
/** The load goes on so long after recovery: what was wrong with it would show in its own messages. */
const AFTER_MS = 2000;
/** Without a record of the fleet for so long, the broker holds none any more. */
const QUIET_MS = 10_000;
/** A stall below this share of the time down is no interruption. */
const BITTEN = 0.5;

/** @throws Void; TwinstreamError; the signal's reason once it has healed what it broke */
export async function runDrill(
  options: DrillOptions,
  stack: DrillStack,
  config: Config,
  around: { say: (line: string) => void; signal: AbortSignal },
): Promise<DrillResult> {
  const { say, signal } = around;
  const run = `drill-${ulid().toLowerCase()}`;
  const prefix = `${run}-`;
  const folder = join(stack.dir, "drills");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ledger = join(folder, `${run}.jsonl`);
  const log = createLogInspector(commandLogConnection(config, "drill"));
  const link =
    options.drill === "reconnect" ? await openLink(config.MQTT_URL) : null;
  const fault =
    link === null
      ? ending(stack, stack.target(targetOf(options.drill)), options.empty)
      : cutting(link, options.devices);
  const from = (await log.bounds(TOPIC.data)).map(({ high }) => high);
  const eyes = watch(stack, log, config.DATABASE_URL);
  const load = startLoad(options, {
    mqttUrl: link?.url ?? config.MQTT_URL,
    tenantPrefix: config.MQTT_TENANT_PREFIX,
    prefix,
    ledger,
  });
  try {
    say(
      `${run}: ${options.devices} devices, ${options.rate} messages/s, seed ${options.seed}; steady for ${options.steady} s`,
    );
    await load.until((at) => at.seconds >= options.steady, signal);
    const reason = await eyes.unready();
    if (reason !== null) throw new Void(`before the fault: ${reason}`);

    const faultMs = performance.now();
    const did = await fault.make();
    say(`${did}; down for ${options.down} s`);
    await pause(options.down * 1000, undefined, { signal });
    await load.until((at) => at.seconds >= load.backlogSeconds, signal);
    await fault.heal();
    const healMs = performance.now();
    say(`healed ${seconds(healMs - faultMs)} s after the fault; catching up`);
    const notRecovered = await caughtUp(
      options,
      { load, eyes },
      healMs,
      signal,
    );
    const levelMs = performance.now();
    await pause(AFTER_MS, undefined, { signal });

    say(notRecovered === null ? "caught up; ending the load" : notRecovered);
    const summary = await load.end();
    const attempts = await readLedger(ledger);
    const reading = logReading(log, config, { prefix, from });
    await readUntilQuiet(reading, attempts, QUIET_MS, signal);
    const rest = await throughTo(
      reading.positions,
      eyes,
      options.deadline,
      signal,
    );
    say(`comparing ${summary.sent} messages of the ledger with what is there`);
    const found = await compareWithStores(
      config,
      prefix,
      attempts,
      reading.found,
    );
    const firstMs = firstRowMs(eyes.looks, reading.found, healMs);
    const stalledMs = longestStall(eyes.looks, faultMs, levelMs);
    return {
      drill: options.drill,
      run,
      seed: options.seed,
      devices: options.devices,
      rate: options.rate,
      fault: did,
      ledger,
      ...found,
      healedSeconds: seconds(healMs - faultMs),
      firstRowSeconds: firstMs === null ? null : seconds(firstMs - faultMs),
      caughtUpSeconds:
        notRecovered === null ? seconds(levelMs - faultMs) : null,
      stalledSeconds: seconds(stalledMs),
      notRecovered: notRecovered ?? rest,
      voided:
        link === null
          ? stalledMs < options.down * 1000 * BITTEN
            ? `nothing stood still for longer than ${seconds(stalledMs)} s`
            : null
          : summary.connectionsLost < options.devices
            ? `only ${summary.connectionsLost} of ${options.devices} devices lost their connection`
            : null,
      peakBytes: Object.fromEntries(eyes.peaks),
    };
  } finally {
    // Whatever ended the drill: the stack is whole again, and nothing of the drill goes on.
    try {
      await fault.heal();
    } finally {
      await load.end().catch(() => undefined);
      // It asks the log until it ends; a log that is asked once more after its close connects again.
      await eyes.end();
      await Promise.allSettled([link?.close(), log.close()]);
    }
  }
}

const targetOf = (drill: DrillName): string =>
  drill === "database" ? "postgres" : drill;
const seconds = (ms: number): number => Math.round(ms / 100) / 10;

/** Answers what it waited for in vain; null once all has caught up. */
async function caughtUp(
  { rate, deadline }: DrillOptions,
  { load, eyes }: { load: Load; eyes: Watch },
  healMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const untilMs = healMs + deadline * 1000;
  for (;;) {
    const looks = eyes.looks.filter(({ atMs }) => atMs >= healMs);
    eyes.last();
    const at = load.progress();
    const due = rate * Math.max(0, (at?.seconds ?? 0) - 2) + load.kept;
    const trouble =
      (await eyes.unready()) ??
      ((at?.sent ?? 0) < due
        ? `the devices have sent ${at?.sent} of ${Math.round(due)} messages`
        : isLevel(looks, LEVEL_MS)
          ? null
          : "the processor is behind the log");
    if (trouble === null) return null;
    if (performance.now() > untilMs)
      return `no recovery within ${deadline} s: ${trouble}`;
    await pause(LOOK_MS, undefined, { signal });
  }
}

/** Waits until everything before these offsets is stored; answers what it waited for in vain. */
async function throughTo(
  positions: readonly number[],
  eyes: Watch,
  deadline: number,
  signal: AbortSignal,
): Promise<string | null> {
  const untilMs = performance.now() + deadline * 1000;
  for (;;) {
    const stored = eyes.last()?.stored;
    if (positions.every((position, n) => (stored?.[n] ?? 0) >= position))
      return eyes.unready();
    if (performance.now() > untilMs)
      return `not everything on the log is stored ${deadline} s after the load`;
    await pause(LOOK_MS, undefined, { signal });
  }
}

/** When the first record of the fleet that was not stored yet when all was healed was seen to be. */
function firstRowMs(
  looks: readonly Look[],
  logged: readonly Logged[],
  healMs: number,
): number | null {
  const before = looks.findLast(
    ({ atMs, stored }) => atMs <= healMs && stored !== null,
  )?.stored;
  if (!before) return null;
  const waiting = before.map(() => Infinity);
  for (const { partition, offset } of logged)
    if (offset >= before[partition]!)
      waiting[partition] = Math.min(offset, waiting[partition]!);
  const first = looks.find(
    ({ atMs, stored }) =>
      atMs > healMs && stored?.some((next, n) => next > waiting[n]!),
  );
  return first?.atMs ?? null;
}

function longestStall(
  looks: readonly Look[],
  fromMs: number,
  toMs: number,
): number {
  let longest = 0;
  let movedMs = fromMs;
  let before = -1;
  for (const { atMs, stored } of looks) {
    if (stored === null) continue;
    const sum = stored.reduce((all, next) => all + next, 0);
    if (atMs >= fromMs && atMs <= toMs && sum > before) {
      longest = Math.max(longest, atMs - movedMs);
      movedMs = atMs;
    }
    before = Math.max(before, sum);
  }
  return Math.max(longest, toMs - movedMs);
}
