/** Where a trial takes place: services, roles, load, and what is seen and counted there. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type Config, loadConfig } from "../../src/config.js";
import { TOPIC } from "../../src/domain/names.js";
import { type Random, seededRandom } from "../../src/simulator/random.js";
import { runCommand } from "../support/roles.js";
import { withOwnStack, type Stack } from "../support/services.js";
import { createInvariant, type Invariant } from "./invariant.js";
import { type Fleet, type RunningLoad, startLoad } from "./load.js";
import { createRoles, type Roles } from "./roles.js";
import type { Knobs, RoleName, Scenario } from "./scenario.js";
import { type Watch, watch } from "./watch.js";

/** Start of the ids of the devices whose messages are compared. */
export const FLEET = "fault-";

export interface Ground {
  readonly knobs: Knobs;
  readonly stack: Stack;
  /** Settings of the services' own addresses; what a scenario prepares is the roles' alone. */
  readonly env: Readonly<Record<string, string>>;
  readonly config: Config;
  readonly roles: Roles;
  readonly eyes: Watch;
  readonly invariant: Invariant;
  /** For files; removed in the end. */
  readonly folder: string;
  /** The scenario's fleet, once it is on its way. */
  readonly load: RunningLoad | null;
  /** Starts a fleet whose ledger is compared in the end; the first is the scenario's own. */
  addFleet(fleet: Omit<Fleet, "prefix" | "seed" | "ledger">): RunningLoad;
  /** Choices of a run, the same for the same seed and words. */
  draw(...words: (string | number)[]): Random;
  /** As the owner of the schema, over a connection of its own. @throws what pg throws while the database is away */
  query<T extends pg.QueryResultRow>(
    sql: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<T>>;
  /** A command of the program, run to its end. */
  run(...args: string[]): Promise<{ code: number; output: string }>;
  /** Something that happened, with its second, for whoever reads along and for the report. */
  note(text: string): void;
  /** That something was seen to happen. */
  count(what: string, by?: number): void;
  counted(what: string): number;
  /** A figure of this scenario's own, for the report. */
  figure(name: string, value: number | string): void;
  /** What was found wrong on the way. */
  violation(text: string): void;
  /** In the end, whatever becomes of the trial; the latest first. */
  onEnd(release: () => Promise<unknown>): void;
}

export interface GroundRecord {
  readonly fleets: readonly RunningLoad[];
  /** Files, one for each fleet. */
  readonly ledgers: readonly string[];
  readonly notes: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
  readonly figures: ReadonlyMap<string, number | string>;
  readonly violations: readonly string[];
}

const USUAL_ROLES: Readonly<Partial<Record<RoleName, number>>> = {
  bridge: 1,
  processor: 1,
};
const RELEASE_MS = 60_000;

/** Brings up services and roles of the trial's own, works, and stops whatever was started. */
export async function withGround<T>(
  scenario: Scenario,
  knobs: Knobs,
  say: (line: string) => void,
  work: (ground: Ground, record: GroundRecord) => Promise<T>,
): Promise<T> {
  const services = [
    "kafka",
    "redis",
    "postgres",
    "mqtt",
    ...(scenario.services ?? []),
  ] as const;
  return withOwnStack(services, async (stack) => {
    const folder = await mkdtemp(join(tmpdir(), "twinstream-fault-"));
    const releases: (() => Promise<unknown>)[] = [];
    const onEnd: Ground["onEnd"] = (release) => void releases.push(release);
    const env: Readonly<Record<string, string>> = {
      ...stack.env,
      STORAGE_PATH: join(folder, "objects"),
      // Some scenarios give every store minutes; who decides to give up is to be seen, not guessed.
      LOG_LEVEL: "info",
      ...scenario.settings,
    };
    const config = loadConfig(env);
    const run = (...args: string[]) => runCommand(args, env);
    const migrated = await run("migrate");
    if (migrated.code !== 0) throw new Error(migrated.output);
    const notes: string[] = [];
    const counts = new Map<string, number>();
    const figures = new Map<string, number | string>();
    const violations: string[] = [];
    const fleets: RunningLoad[] = [];
    const ledgers: string[] = [];
    const note = (text: string): void => {
      const seconds = fleets[0]?.seconds();
      const at = seconds === undefined ? "" : `${seconds.toFixed(1)} s  `;
      notes.push(`${at}${text}`);
      say(`  ${at}${text}`);
    };
    const query: Ground["query"] = async (sql, values = []) => {
      const client = new pg.Client(env["DATABASE_URL"]);
      // The query under way fails with it.
      client.on("error", () => undefined);
      try {
        await client.connect();
        return await client.query(sql, [...values]);
      } finally {
        await client.end().catch(() => undefined);
      }
    };
    const eyes = watch(config);
    const from = (await eyes.log.bounds(TOPIC.data)).map(({ low }) => low);
    const invariant = createInvariant({ query }, config, eyes, {
      prefix: FLEET,
      from,
    });
    const prepared = await scenario.prepare?.(stack, onEnd);
    const roles = createRoles(
      { ...env, ...prepared },
      scenario.scripts ?? {},
      note,
    );
    const ground = {
      knobs,
      stack,
      env,
      config,
      roles,
      eyes,
      invariant,
      folder,
      get load() {
        return fleets[0] ?? null;
      },
      addFleet(fleet: Omit<Fleet, "prefix" | "seed" | "ledger">) {
        const ledger = join(folder, `ledger-${ledgers.length + 1}.jsonl`);
        const load = startLoad(
          {
            ...fleet,
            seed: knobs.seed,
            // Ids of the first are FLEET and a number, of the others FLEET, a word and a number.
            prefix:
              fleets.length === 0 ? FLEET : `${FLEET}${fleets.length + 1}-`,
            ledger,
          },
          env["MQTT_URL"]!,
        );
        fleets.push(load);
        ledgers.push(ledger);
        onEnd(() => load.stop());
        return load;
      },
      draw: (...words: (string | number)[]) =>
        seededRandom(knobs.seed, scenario.name, ...words),
      query,
      run,
      note,
      count: (what: string, by = 1) =>
        void counts.set(what, (counts.get(what) ?? 0) + by),
      counted: (what: string) => counts.get(what) ?? 0,
      figure: (name: string, value: number | string) =>
        void figures.set(name, value),
      violation: (text: string) => void violations.push(text),
      onEnd,
    };
    try {
      const wanted = { ...USUAL_ROLES, ...scenario.roles };
      for (const role of ["bridge", "gateway", "worker", "processor"] as const)
        for (let n = 0; n < (wanted[role] ?? 0); n++) await roles.add(role);
      return await work(ground, {
        fleets,
        ledgers,
        notes,
        counts,
        figures,
        violations,
      });
    } finally {
      for (const release of releases.toReversed())
        await Promise.race([
          release().catch(() => undefined),
          new Promise((resolve) => {
            setTimeout(resolve, RELEASE_MS).unref();
          }),
        ]);
      await roles.close();
      await eyes.end();
      await rm(folder, { recursive: true, force: true });
    }
  });
}
