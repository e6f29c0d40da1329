/** The roles of a trial: started, ended, frozen, and started again when they end by themselves, as a supervisor does. */
import { setTimeout as pause } from "node:timers/promises";
import { residentBytes } from "../../src/main/drill/processes.js";
import { freePort, startRole, type RoleProcess } from "../support/roles.js";
import type { RoleName } from "./scenario.js";

export interface Roles {
  /** `processor-1` and the like, those that are to run. */
  names(role: RoleName): string[];
  /** Another one of a role; resolves once it is ready. */
  add(role: RoleName): Promise<string>;
  /** SIGKILL, and it stays down until `start`. */
  kill(name: string): Promise<void>;
  /** SIGTERM; answers seconds until its end, and how it ended. It stays down until `start`. */
  stop(
    name: string,
  ): Promise<{ seconds: number; ended: number | NodeJS.Signals }>;
  freeze(name: string): void;
  thaw(name: string): void;
  /** As it was before; does not wait until it is ready. */
  start(name: string): Promise<void>;
  process(name: string): RoleProcess;
  /** Sum over all that run, and all that ran: a counter dies with its process, but what was last seen of it stays. */
  total(metric: string, labels?: string): Promise<number>;
  /** What a processor that runs is not ready for; null when all are. */
  unready(): Promise<string | null>;
  /** Base addresses of the gateways that are to run. */
  gateways(): string[];
  /** Times that one ended without having been asked to. */
  readonly endedThemselves: string[];
  /** Resident bytes at most, by name. */
  readonly peaks: ReadonlyMap<string, number>;
  /** Everything they said, by name and start. */
  outputs(): { name: string; text: string }[];
  close(): Promise<void>;
}

interface Kept {
  readonly role: RoleName;
  readonly env: Readonly<Record<string, string>>;
  process: RoleProcess;
  wanted: boolean;
}

const WEIGH_MS = 200;
/** A supervisor starts what has ended after so long. */
const AGAIN_MS = 1000;
const READY_MS = 2000;

export function createRoles(
  env: Readonly<Record<string, string>>,
  scripts: Readonly<Partial<Record<RoleName, string>>>,
  note: (text: string) => void,
): Roles {
  const all = new Map<string, Kept>();
  const counts = new Map<RoleName, number>();
  const past: { name: string; text: string }[] = [];
  const peaks = new Map<string, number>();
  const endedThemselves: string[] = [];
  let closed = false;

  const weighing = setInterval(() => {
    for (const [name, { process, wanted }] of all) {
      const bytes = wanted
        ? residentBytes({ pid: process.pid, born: "" })
        : null;
      if (bytes !== null)
        peaks.set(name, Math.max(bytes, peaks.get(name) ?? 0));
    }
  }, WEIGH_MS);

  function kept(name: string): Kept {
    const one = all.get(name);
    if (one === undefined) throw new Error(`no role is called ${name}`);
    return one;
  }

  async function launch(name: string, one: Omit<Kept, "process" | "wanted">) {
    const script = scripts[one.role];
    const process = await startRole(
      one.role,
      one.env,
      script === undefined ? {} : { script },
    );
    const started: Kept = { ...one, process, wanted: true };
    all.set(name, started);
    void process.ended.then(async (how) => {
      past.push({ name, text: process.output() });
      if (closed || !started.wanted || all.get(name) !== started) return;
      endedThemselves.push(`${name} (${how})`);
      note(`${name} ended by itself (${how}) and is started again`);
      await pause(AGAIN_MS);
      if (!closed && started.wanted && all.get(name) === started)
        await launch(name, one);
    });
    return process;
  }

  return {
    peaks,
    endedThemselves,
    names: (role) =>
      [...all]
        .filter(([, one]) => one.role === role && one.wanted)
        .map(([name]) => name),
    async add(role) {
      const number = (counts.get(role) ?? 0) + 1;
      counts.set(role, number);
      const name = `${role}-${number}`;
      const own: Record<string, string> = {};
      if (role === "processor") own["PROCESSOR_ID"] = name;
      if (role === "bridge") own["BRIDGE_ID"] = name;
      if (role === "gateway") own["HTTP_PORT"] = String(await freePort());
      const process = await launch(name, { role, env: { ...env, ...own } });
      await process.ready(60_000);
      return name;
    },
    async kill(name) {
      const one = kept(name);
      one.wanted = false;
      await one.process.kill();
    },
    async stop(name) {
      const one = kept(name);
      one.wanted = false;
      const fromMs = performance.now();
      const ended = await one.process.stop();
      return { seconds: (performance.now() - fromMs) / 1000, ended };
    },
    freeze: (name) => kept(name).process.signal("SIGSTOP"),
    thaw: (name) => kept(name).process.signal("SIGCONT"),
    async start(name) {
      const { role, env: own, wanted } = kept(name);
      if (!wanted) await launch(name, { role, env: own });
    },
    process: (name) => kept(name).process,
    async total(metric, labels) {
      let sum = 0;
      for (const { process, wanted } of all.values())
        if (wanted) sum += await process.metric(metric, labels);
      return sum;
    },
    async unready() {
      for (const [name, { role, process, wanted }] of all) {
        if (!wanted || role === "gateway") continue;
        try {
          const signal = AbortSignal.timeout(READY_MS);
          const ready = await fetch(`${process.metricsUrl}/ready`, { signal });
          if (!ready.ok) return `${name}: ${await ready.text()}`;
          if ((await process.metric("lane_rebuilding")) > 0)
            return `${name}: the view in Redis is being made anew`;
        } catch {
          return `${name} does not answer`;
        }
      }
      return null;
    },
    gateways: () =>
      [...all.values()]
        .filter(({ role, wanted }) => role === "gateway" && wanted)
        .map(({ env: own }) => `http://127.0.0.1:${own["HTTP_PORT"]}`),
    outputs: () => [
      ...past,
      ...[...all]
        .filter(([, { wanted }]) => wanted)
        .map(([name, { process }]) => ({ name, text: process.output() })),
    ],
    async close() {
      closed = true;
      clearInterval(weighing);
      await Promise.all([...all.values()].map(({ process }) => process.kill()));
    },
  };
}
