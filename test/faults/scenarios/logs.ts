/** A log and a database that do not belong together. */
import type { Ground } from "../ground.js";
import { type Act, scenarios } from "../scenario.js";
import { until } from "../../support/wait.js";

const WAIT_MS = 90_000;
const REFUSED = "processors that refused";

/** Until all of the log is stored; the bridge is down, so that its end stays. */
async function allStored({ eyes }: Ground): Promise<void> {
  await until(
    async () => {
      const ends = await eyes.readEnds();
      const stored = await eyes.readStored();
      return ends.every((end, n) => (stored[n] ?? 0) >= end);
    },
    { withinMs: WAIT_MS, what: "all of the log to be stored" },
  );
}

async function succeeds(ground: Ground, ...args: string[]): Promise<void> {
  const { code, output } = await ground.run(...args);
  if (code !== 0) throw new Error(`twinstream ${args.join(" ")}: ${output}`);
  ground.note(`twinstream ${args.join(" ")}`);
}

const wipedLog = (at: number): Act => ({
  at,
  to: "kafka",
  does: "the log is wiped under the kept database; then twinstream offsets adopt",
  async run(ground) {
    const { roles, eyes, stack, invariant } = ground;
    await roles.stop("bridge-1");
    await allStored(ground);
    await invariant.reading.readOn(AbortSignal.timeout(WAIT_MS));
    await roles.stop("processor-1");
    const look = eyes.lookAway();
    await stack.services.kafka.wipe();
    await stack.services.kafka.start();
    ground.note("the log is empty");
    await succeeds(ground, "migrate");
    await roles.start("processor-1");
    const processor = roles.process("processor-1");
    await until(() => processor.output().includes("offsets adopt"), {
      withinMs: WAIT_MS,
      what: "the processor to refuse, and to name the way out",
    });
    ground.count(REFUSED);
    await until(async () => (await roles.unready())?.includes("log cluster"), {
      withinMs: WAIT_MS,
      what: "readiness to say why",
    });
    await succeeds(ground, "offsets", "adopt");
    await processor.ready(WAIT_MS);
    invariant.anotherLog();
    look();
    await roles.start("bridge-1");
    ground.note("the bridge goes on");
  },
});

const wipedDatabase = (at: number): Act => ({
  at,
  to: "postgres",
  does: "the database is wiped under the kept log, and made anew by twinstream migrate; then twinstream offsets adopt",
  async run(ground) {
    const { eyes, roles, stack } = ground;
    const look = eyes.lookAway();
    await stack.services.postgres.kill();
    await stack.services.postgres.wipe();
    await stack.services.postgres.start();
    ground.note("the database is empty");
    await succeeds(ground, "migrate");
    const processor = roles.process("processor-1");
    await until(() => processor.output().includes("offsets adopt"), {
      withinMs: WAIT_MS,
      what: "the processor to refuse, and to name the way out",
    });
    ground.count(REFUSED);
    await until(
      async () => (await roles.unready())?.includes("nothing stored"),
      { withinMs: WAIT_MS, what: "readiness to say why" },
    );
    await succeeds(ground, "offsets", "adopt");
    await processor.ready(WAIT_MS);
    look();
  },
});

export const LOGS = scenarios(
  {
    name: "log-wiped",
    does: "the log is lost under a kept database",
    expects:
      "the processor refuses with one line that names the way out; after it everything goes on, and what was stored stays",
    // Dead letters are told apart by their place on the log, and there are two logs here.
    fleet: () => ({ poison: 0 }),
    schedule: (_draw, { seconds }) => [wipedLog(0.3 * seconds)],
    missed: (ground) =>
      ground.counted(REFUSED) === 1 ? null : "nothing was refused",
  },
  {
    name: "database-wiped",
    does: "the database is lost under a kept log",
    expects:
      "the processor refuses with one line that names the way out; after it all that the log still has is stored again, once",
    schedule: (_draw, { seconds }) => [wipedDatabase(0.3 * seconds)],
    missed: (ground) =>
      ground.counted(REFUSED) === 1 ? null : "nothing was refused",
  },
);
