/**
 * One trial: load → the acts of the schedule, each at its second → healed → all sent → quiet → compared. Whatever becomes of
 * it, everything that was started is stopped, and what a failed one leaves for a person is kept.
 */
import { cp, mkdir, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  compareWithStores,
  readLedger,
  readUntilQuiet,
} from "../../src/main/drill/evidence.js";
import { reasonOf } from "../../src/errors.js";
import { type Comparison, FAULTLESS } from "../../src/simulator/compare.js";
import type { Attempt } from "../../src/simulator/ledger.js";
import { seededRandom } from "../../src/simulator/random.js";
import { startCommands } from "./commands.js";
import { FLEET, type Ground, withGround } from "./ground.js";
import type { Act, Knobs, Scenario } from "./scenario.js";
import { startUploads } from "./uploads.js";
import { versionsOf } from "./versions.js";

/** Lists name `device seq`, or what is known; times are seconds. */
export interface Result extends Comparison {
  readonly scenario: string;
  readonly does: string;
  readonly expects: string;
  readonly knobs: Knobs;
  readonly schedule: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  readonly commands: Readonly<Record<string, number>> | null;
  readonly uploads: Readonly<Record<string, number>> | null;
  /** From the last act's end until what is on the log is stored a second later; null where there was none. */
  readonly recoverySeconds: number | null;
  /** The longest time in which nothing was stored. */
  readonly stalledSeconds: number;
  /** Resident bytes at most, by role. */
  readonly peakBytes: Readonly<Record<string, number>>;
  /** Deaths of a processor looked at before its restart, and records behind an offset then. */
  readonly invariant: { readonly checks: number; readonly records: number };
  readonly seen: Readonly<Record<string, number>>;
  readonly figures: Readonly<Record<string, number | string>>;
  readonly endedThemselves: readonly string[];
  readonly notes: readonly string[];
  /** Why it shows nothing; null when the fault bit. */
  readonly voided: string | null;
  /** Everything that must not be, in words. */
  readonly violations: readonly string[];
  /** Folder with the ledger, a dump of the log and the roles' output; null where nothing is wrong. */
  readonly kept: string | null;
  /** Of the whole trial. */
  readonly seconds: number;
}

const DEADLINE_SECONDS = 120;
/** Without a record of the fleet for so long, the broker holds none any more. */
const QUIET_MS = 10_000;
const LOOK_MS = 200;
/** Names shown of a list. */
const SHOWN = 5;

export function scheduleOf(scenario: Scenario, knobs: Knobs): readonly Act[] {
  const draw = seededRandom(knobs.seed, scenario.name, "schedule");
  return scenario.schedule(draw, knobs).toSorted((a, b) => a.at - b.at);
}

/** @param keep folder under which a failed trial leaves what it has */
export async function runTrial(
  scenario: Scenario,
  knobs: Knobs,
  keep: string,
  say: (line: string) => void,
): Promise<Result> {
  const beganMs = performance.now();
  const acts = scheduleOf(scenario, knobs);
  return withGround(scenario, knobs, say, async (ground, record) => {
    const deadlineMs = (scenario.deadline ?? DEADLINE_SECONDS) * 1000;
    const versions = await versionsOf(ground);
    await scenario.before?.(ground);
    const load = ground.addFleet({
      devices: knobs.devices,
      rate: knobs.rate,
      messages: knobs.rate * knobs.seconds,
      ...scenario.fleet?.(ground),
    });
    await load.reaches(0);
    const fromMs = performance.now();
    const commands = scenario.commands ? await startCommands(ground) : null;
    const uploads = scenario.uploads ? startUploads(ground) : null;

    await doAll(acts, ground);
    const healMs = performance.now();
    const all = Promise.all(record.fleets.map(({ ended }) => ended));
    const sentAll = await inTime(all, deadlineMs + knobs.seconds * 1000);
    if (sentAll === null) {
      ground.violation("the fleet could not send all of its messages in time");
      await Promise.all(record.fleets.map((fleet) => fleet.stop()));
    }
    await Promise.all([
      commands?.stop(deadlineMs / 1000),
      uploads?.stop(deadlineMs / 1000),
    ]);
    const attempts = (await Promise.all(record.ledgers.map(readLedger))).flat();
    const late = await becomesQuiet(ground, attempts, deadlineMs);
    if (late !== null) ground.violation(late);
    const toMs = performance.now();
    for (const wrong of [
      ...((await uploads?.settle(deadlineMs)) ?? []),
      ...((await commands?.settle(deadlineMs)) ?? []),
      ...ground.invariant.violations,
      ...ground.eyes.backwards,
    ])
      ground.violation(wrong);

    const found = await compareWithStores(
      ground.config,
      FLEET,
      attempts,
      ground.invariant.logged(),
    );
    for (const wrong of (await scenario.also?.(ground, found)) ?? [])
      ground.violation(wrong);
    const violations = [
      ...listed(found, scenario.brokerLoss === "stated"),
      ...shortened(record.violations),
    ];
    const voided = scenario.missed?.(ground, found) ?? null;
    const result = {
      scenario: scenario.name,
      does: scenario.does,
      expects: scenario.expects,
      knobs,
      schedule: acts.map(lineOf),
      versions,
      ...found,
      commands: commands?.counts() ?? null,
      uploads: uploads?.counts() ?? null,
      recoverySeconds:
        acts.length === 0 ? null : ground.eyes.recoverySeconds(healMs),
      stalledSeconds: ground.eyes.longestStall(fromMs, toMs),
      peakBytes: Object.fromEntries(ground.roles.peaks),
      invariant: ground.invariant.looked(),
      seen: Object.fromEntries(record.counts),
      figures: Object.fromEntries(record.figures),
      endedThemselves: ground.roles.endedThemselves,
      notes: record.notes,
      voided,
      violations,
      seconds: Math.round((performance.now() - beganMs) / 1000),
    };
    const kept =
      violations.length === 0
        ? null
        : await keepAll(ground, record.ledgers, result, keep);
    return { ...result, kept };
  });
}

export const lineOf = ({ at, does }: Act): string =>
  `${at.toFixed(1)} s  ${does}`;

/** Each at its second, but those done to one and the same one after the other. */
async function doAll(acts: readonly Act[], ground: Ground): Promise<void> {
  const last = new Map<string, Promise<void>>();
  for (const act of acts) {
    const before = last.get(act.to) ?? Promise.resolve();
    last.set(
      act.to,
      before.then(() => doAct(act, ground)),
    );
  }
  await Promise.all(last.values());
}

async function doAct(act: Act, ground: Ground): Promise<void> {
  try {
    await ground.load?.reaches(act.at);
    await act.run(ground);
  } catch (error) {
    ground.violation(`${act.does}: ${reasonOf(error)}`);
  }
}

async function inTime<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  const late = new AbortController();
  const timer = pause(ms, null, { signal: late.signal }).catch(() => null);
  try {
    return await Promise.race([promise, timer]);
  } finally {
    late.abort();
  }
}

/** Waits until all that the broker had is on the log, and all of the log is stored; answers what it waited for in vain. */
async function becomesQuiet(
  ground: Ground,
  attempts: readonly Attempt[],
  withinMs: number,
): Promise<string | null> {
  const { eyes, invariant, roles } = ground;
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const trouble = await standing().catch(reasonOf);
    if (trouble === null) return null;
    if (performance.now() > untilMs)
      return `not quiet within ${withinMs / 1000} s: ${trouble}`;
    await pause(LOOK_MS);
  }

  async function standing(): Promise<string | null> {
    const { reading } = invariant;
    // A bridge that is still connecting is no sign that the broker has nothing for it.
    const before = await roles.unready();
    if (before !== null) return before;
    const signal = AbortSignal.timeout(withinMs);
    await readUntilQuiet(reading, attempts, QUIET_MS, signal);
    // Those that answer commands go on: what came up to here is to be stored, not what has come since.
    const upTo = [...reading.positions];
    for (;;) {
      const stored = await eyes.readStored();
      const behind = upTo.findIndex(
        (position, n) => (stored[n] ?? 0) < position,
      );
      if (behind < 0) return roles.unready();
      if (performance.now() > untilMs)
        return `partition ${behind} is stored up to ${stored[behind]} of ${upTo[behind]}`;
      await pause(LOOK_MS);
    }
  }
}

function listed(found: Comparison, brokerMayLose: boolean): string[] {
  const kinds = brokerMayLose
    ? FAULTLESS
    : [...FAULTLESS, "brokerLoss" as const];
  return kinds
    .filter((kind) => found[kind].length > 0)
    .map((kind) => `${kind}: ${firstOf(found[kind])}`);
}

const firstOf = (all: readonly string[]): string =>
  all.length > SHOWN
    ? `${all.slice(0, SHOWN).join("; ")}, and ${all.length - SHOWN} more`
    : all.join("; ");

const shortened = (all: readonly string[]): string[] =>
  all.length > 4 * SHOWN
    ? [...all.slice(0, 4 * SHOWN), `and ${all.length - 4 * SHOWN} more`]
    : [...all];

/** Answers where: the ledger, every record of the fleet on the log, and what the roles said. */
async function keepAll(
  ground: Ground,
  ledgers: readonly string[],
  result: Omit<Result, "kept">,
  keep: string,
): Promise<string> {
  const folder = resolve(keep, `${result.scenario}-${ground.knobs.seed}`);
  await mkdir(folder, { recursive: true });
  for (const ledger of ledgers)
    await cp(ledger, join(folder, basename(ledger)));
  const lines = ground.invariant.logged().map((one) => JSON.stringify(one));
  await writeFile(join(folder, "log.jsonl"), `${lines.join("\n")}\n`);
  await writeFile(
    join(folder, "result.json"),
    `${JSON.stringify(result, null, 2)}\n`,
  );
  for (const [n, { name, text }] of ground.roles.outputs().entries())
    await writeFile(join(folder, `${name}.${n}.log`), text);
  return folder;
}
