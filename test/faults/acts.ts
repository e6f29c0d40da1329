/** What scenarios do to roles and services, each with its end. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { reasonOf } from "../../src/errors.js";
import type { Random } from "../../src/simulator/random.js";
import type { Stack } from "../support/services.js";
import type { Ground } from "./ground.js";
import type { Act } from "./scenario.js";

export type Service = keyof Stack["services"];

/** A clean stop of a role takes no longer, seconds. */
const STOP_SECONDS = 10;

/** What the suite counts, by its own names: a scenario's `missed` asks for them. */
export const SEEN = {
  deaths: "deaths of a processor with work in hand",
  kills: "kills",
  stops: "clean stops",
  frozen: "frozen while there was work",
  joins: "processors that joined or left",
} as const;

/** A whole instant within [from, to), seconds to a tenth. */
export const instantIn = (draw: Random, from: number, to: number): number =>
  Math.round((from + draw() * (to - from)) * 10) / 10;

export const oneOf = <T>(draw: Random, all: readonly T[]): T =>
  all[Math.floor(draw() * all.length)]!;

/** kill -9 of a role; a processor's promises are looked at before it is started again. */
export function killRole(
  name: string,
  { at, down = 0 }: { at: number; down?: number },
): Act {
  return {
    at,
    to: name,
    does: `kill -9 of ${name}${down > 0 ? `, down for ${down} s` : ""}`,
    async run(ground) {
      const fromMs = performance.now();
      const isProcessor = name.startsWith("processor");
      // Another fault may have the log or the database down: then there is nothing to tell it by.
      const ends = isProcessor
        ? await ground.eyes.readEnds().catch(() => [])
        : [];
      await ground.roles.kill(name);
      ground.count(SEEN.kills);
      ground.note(`kill -9 of ${name}`);
      if (isProcessor) {
        const stored = await ground.eyes.readStored().catch(() => ends);
        if (ends.some((end, n) => end > (stored[n] ?? 0)))
          ground.count(SEEN.deaths);
        await lookAtDeath(ground, name);
      }
      await pause(Math.max(0, down * 1000 - (performance.now() - fromMs)));
      await ground.roles.start(name);
      ground.note(`${name} started again`);
    },
  };
}

/** Before another takes over: is what is behind an offset stored? */
export async function lookAtDeath(ground: Ground, name: string): Promise<void> {
  try {
    await ground.invariant.check(`death of ${name}`);
  } catch (error) {
    // Another fault has a store down: what it hides is looked at in the end.
    ground.count("deaths that could not be looked at");
    ground.note(
      `the death of ${name} could not be looked at: ${reasonOf(error)}`,
    );
  }
}

/** Kills of one of these after the other, at random instants, so often that each interval holds one. */
export function killAgain(
  draw: Random,
  names: readonly string[],
  {
    from,
    to,
    every,
    down = 0,
  }: { from: number; to: number; every: number; down?: number },
): Act[] {
  const acts: Act[] = [];
  for (let start = from; start + every <= to; start += every)
    acts.push(
      killRole(oneOf(draw, names), {
        at: instantIn(draw, start, start + every * 0.6),
        down,
      }),
    );
  return acts;
}

/** SIGTERM of a role: it must end by itself, in time, with 0. */
export function stopRole(
  name: string,
  {
    at,
    down = 0,
    timed = true,
  }: {
    at: number;
    down?: number;
    /** Not where what it needs for its end may be away. */
    timed?: boolean;
  },
): Act {
  return {
    at,
    to: name,
    does: `SIGTERM of ${name}${down > 0 ? `, down for ${down} s` : ""}`,
    async run(ground) {
      const { seconds, ended } = await ground.roles.stop(name);
      ground.count(SEEN.stops);
      ground.note(`${name} stopped in ${seconds.toFixed(1)} s (${ended})`);
      if (timed && (seconds >= STOP_SECONDS || ended !== 0))
        ground.violation(
          `${name} took ${seconds.toFixed(1)} s to stop and ended with ${ended}`,
        );
      await pause(down * 1000);
      await ground.roles.start(name);
    },
  };
}

interface Frozen {
  readonly at: number;
  readonly seconds: number;
}

/** SIGSTOP of a role, then SIGCONT. */
export const freezeRole = (name: string, frozen: Frozen): Act =>
  freeze(name, frozen, ({ roles }, signal) =>
    signal === "SIGSTOP" ? roles.freeze(name) : roles.thaw(name),
  );

/** SIGSTOP of a service with all its processes, then SIGCONT. */
export const freezeService = (name: Service, frozen: Frozen): Act =>
  freeze(name, frozen, ({ stack }, signal) =>
    stack.services[name].kill(signal),
  );

function freeze(
  name: string,
  { at, seconds }: Frozen,
  send: (ground: Ground, signal: "SIGSTOP" | "SIGCONT") => unknown,
): Act {
  return {
    at,
    to: name,
    does: `SIGSTOP of ${name} for ${seconds} s`,
    async run(ground) {
      const sent = () => ground.load?.progress()?.sent ?? 0;
      await send(ground, "SIGSTOP");
      ground.note(`SIGSTOP of ${name}`);
      try {
        const before = sent();
        await pause(seconds * 1000);
        if (sent() > before) ground.count(SEEN.frozen);
      } finally {
        await send(ground, "SIGCONT");
        ground.note(`SIGCONT of ${name}`);
      }
    },
  };
}

/** kill -9 of a service with all its processes, and a start on the same data. */
export function killService(
  name: Service,
  {
    at,
    down = 0,
    meanwhile,
    what = "",
  }: {
    at: number;
    down?: number;
    /** Once it is dead; what it does to its data is said by `what`. */
    meanwhile?: (ground: Ground) => Promise<void> | void;
    what?: string;
  },
): Act {
  return {
    at,
    to: name,
    does: `kill -9 of ${name}${what === "" ? "" : `, ${what}`}, down for ${down} s`,
    async run(ground) {
      const service = ground.stack.services[name];
      await service.kill();
      ground.count(SEEN.kills);
      ground.note(`kill -9 of ${name}`);
      await meanwhile?.(ground);
      await startAfter(down, name, ground);
    },
  };
}

/** A clean stop of a service, and a start on the same data. */
export function stopService(
  name: Service,
  { at, down = 0 }: { at: number; down?: number },
): Act {
  return {
    at,
    to: name,
    does: `clean stop of ${name}, down for ${down} s`,
    async run(ground) {
      const service = ground.stack.services[name];
      await service.stop();
      ground.count(SEEN.stops);
      ground.note(`${name} stopped`);
      await startAfter(down, name, ground);
    },
  };
}

async function startAfter(
  down: number,
  name: Service,
  ground: Ground,
): Promise<void> {
  await pause(down * 1000);
  await ground.stack.services[name].start();
  ground.note(`${name} answers again`);
}

/** Removes all that Redis has kept. */
export function emptyRedis(ground: Ground): void {
  rmSync(join(ground.stack.services.redis.folder, "appendonlydir"), {
    recursive: true,
    force: true,
  });
}

/** For `missed`: the schedule was to bring so many of these about. */
export function least(what: string, count: number) {
  return (ground: Ground): string | null =>
    ground.counted(what) >= count
      ? null
      : `${ground.counted(what)} ${what}, not ${count}`;
}
