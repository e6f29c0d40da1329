/** `twinstream drill`: break something of a running stack under load, and see what is lost and how long it takes. */
import { Command, Option } from "commander";
import { reasonOf, TwinstreamError } from "../errors.js";
import { read } from "../simulator/options.js";
import { word } from "./arguments.js";
import { DRILLS, type DrillName } from "./drill/names.js";
import type { DrillOptions } from "./drill/run.js";

const EXIT = { failed: 1, badArguments: 2 } as const;
const WIDTH = Math.max(...DRILLS.map(({ name }) => name.length));
const SEEDS = 2 ** 31;

const HELP = `
Drills
${DRILLS.map(({ name, does }) => `  ${name.padEnd(WIDTH)}  ${does}`).join("\n")}

It works on a stack that npm start has started on this machine and that still runs, found by the folder --stack; it refuses
any other, settings with other addresses, and NODE_ENV=production. It sends a load of its own as devices drill-<run>-…, with
a ledger, makes the fault, keeps it for --down, heals it, keeps the load on until everything has caught up, and holds the
ledger against the log, the database and Redis.

  accepted     the broker has acknowledged it           duplicates  sent or delivered again, and known as such
  missing      on the log, and not stored: must be 0    broker loss acknowledged by the broker and never on the log
  out of order on the log behind a later one            stale       Redis shows another message than the newest

The drill's devices stay, for a look at them; its ledger is in the stack's folder, under drills/. Ctrl-C heals what is
broken, ends the load and leaves; a drill that is killed holds nothing down either.

Examples
  npm start -- --no-fleet
  twinstream drill processor
  twinstream drill redis --empty --devices 1000 --rate 2000 --down 10s
  twinstream drill reconnect --backlog 120 --json

Exit codes: 0 passed, 1 something lost, doubled, out of order or not recovered, or the fault never bit, 2 refused or bad
arguments.`;

interface Options extends Omit<DrillOptions, "drill" | "empty" | "seed"> {
  readonly stack: string;
  readonly seed?: number;
  readonly empty?: true;
  readonly json?: true;
}

export function drillCommand(): Command {
  const whole = (least: number, most: number) => word(read.whole(least, most));
  const time = (flags: string, text: string, by: number) =>
    new Option(flags, text)
      .default(by, `${by}s`)
      .argParser(word(read.duration));
  const command = new Command("drill")
    .description(
      "break something of a stack of npm start under load; print what is lost, and how long recovery takes",
    )
    .argument("<what>", DRILLS.map(({ name }) => name).join(", "))
    .option("--stack <folder>", "of the stack", ".twinstream")
    .option("--devices <n>", "of the load", whole(1, 20_000), 1000)
    .option("--rate <n>", "messages/s of the load", whole(1, 100_000), 1000)
    .addOption(time("--steady <time>", "load before the fault", 5))
    .addOption(time("--down <time>", "how long the fault is kept", 5))
    .addOption(time("--deadline <time>", "for the recovery", 120))
    .option(
      "--backlog <n>",
      "reconnect: messages that each device has kept",
      whole(1, 3600),
      60,
    )
    .option("--empty", "redis: remove its data as well")
    .option(
      "--seed <n>",
      "of the load (default: another each time, printed)",
      whole(0, Number.MAX_SAFE_INTEGER),
    )
    .option("--json", "print one JSON object")
    .addHelpText("after", HELP)
    .allowExcessArguments(false)
    .exitOverride((error) =>
      process.exit(error.exitCode === 0 ? 0 : EXIT.badArguments),
    );
  return command.action(async (what: string, options: Options) => {
    const drill = DRILLS.find(({ name }) => name === what)?.name;
    if (drill === undefined)
      return command.error(
        `error: ${JSON.stringify(what)} is no drill; there are ${DRILLS.map(({ name }) => name).join(", ")}`,
      );
    if (options.empty && drill !== "redis")
      command.error("error: --empty goes with redis alone");
    process.exitCode = await run(drill, options);
  });
}

/** Answers the exit code. */
async function run(drill: DrillName, options: Options): Promise<number> {
  const [{ loadConfig }, { drillStack }, { runDrill }, report] =
    await Promise.all([
      import("../config.js"),
      import("./drill/stack.js"),
      import("./drill/run.js"),
      import("./drill/report.js"),
    ]);
  const stop = new AbortController();
  // A second signal finds no handler and ends the process; what it held is free then too.
  const stopped = () => stop.abort(new Error("stopped by a signal"));
  process.once("SIGINT", stopped).once("SIGTERM", stopped);
  const say = (line: string) => process.stderr.write(`${line}\n`);
  let end = () => {};
  try {
    const stack = drillStack(options.stack, process.env);
    const config = loadConfig({ ...process.env, ...stack.settings });
    end = stack.begin();
    const result = await runDrill(
      {
        ...options,
        drill,
        empty: options.empty ?? false,
        seed: options.seed ?? Math.floor(Math.random() * SEEDS),
      },
      stack,
      config,
      { say, signal: stop.signal },
    );
    const wrong = report.troubles(result);
    console.log(
      options.json
        ? JSON.stringify({
            passed: wrong.length === 0,
            troubles: wrong,
            ...result,
          })
        : report.reportText(result),
    );
    return wrong.length === 0 ? 0 : EXIT.failed;
  } catch (error) {
    const why = stop.signal.aborted
      ? "stopped by a signal; what was broken is whole again"
      : reasonOf(error);
    if (options.json)
      console.log(JSON.stringify({ passed: false, drill, troubles: [why] }));
    say(`twinstream drill: ${why}`);
    return error instanceof TwinstreamError && error.code === "CONFIG_INVALID"
      ? EXIT.badArguments
      : EXIT.failed;
  } finally {
    end();
    process.off("SIGINT", stopped).off("SIGTERM", stopped);
  }
}
