/** `twinstream adapters try`: an adapter beside what reads the messages now, without storing anything. */
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { ADAPTERS } from "../domain/adapters/registry.js";
import { parseTime } from "../domain/time.js";
import { count, segment } from "./arguments.js";

export function tryCommand(): Command {
  return new Command("try")
    .description(
      "read messages by an adapter and by what reads them now, and show the difference; stores nothing",
    )
    .addArgument(
      new Argument("<adapter>", "its name").choices([...ADAPTERS.keys()]),
    )
    .addOption(
      new Option(
        "--from-dlq",
        "the newest dead letters that an adapter may be the cause of",
      ).conflicts(["live", "wait"]),
    )
    .addOption(
      new Option("--live <n>", "the next messages of telemetry")
        .argParser(count)
        .conflicts(["since", "limit"]),
    )
    .option(
      "--since <when>",
      "dead letters since then: an ISO 8601 time, or back from now as 90m, 24h, 7d",
      moment,
    )
    .option("--limit <n>", "dead letters at most (default: 10000)", count)
    .option(
      "--wait <seconds>",
      "for the messages of --live; then with those that came (default: 60)",
      count,
    )
    .option("--device <id>", "of this device only", segment)
    .option("--tenant <name>", "of this tenant only", segment)
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Every message is given to the adapter, whatever schema it names. "now parses": was a dead letter, and the adapter reads it;
"now differs": other points, values, units or another time; "now fails": it would be a dead letter. The first three of each
are shown. Ctrl-C ends --live with what it has seen. Exit codes: 0 done, 1 failed, 2 bad arguments.`,
    )
    .action(async (name: string, options: TryOptions, self: Command) => {
      if ((options.live ?? options.fromDlq) === undefined)
        self.error("error: say what to try it on: --from-dlq or --live <n>");
      await tryOut(name, options);
    });
}

interface TryOptions {
  readonly fromDlq?: true;
  readonly live?: number;
  /** Unix milliseconds. */
  readonly since?: number;
  readonly limit?: number;
  readonly wait?: number;
  readonly device?: string;
  readonly tenant?: string;
  readonly json?: true;
}

const LETTERS = 10_000;
const WAIT_S = 60;
/** A trial that takes longer tells how far it is. */
const PROGRESS_MS = 2000;

async function tryOut(adapter: string, options: TryOptions): Promise<void> {
  const [{ tryLetters, tryLive }, { reportJson, reportText }] =
    await Promise.all([
      import("./adapters-trial.js"),
      import("./adapters-report.js"),
    ]);
  const question = {
    adapter,
    tenant: options.tenant ?? null,
    deviceId: options.device ?? null,
  };
  const source = options.live === undefined ? "dlq" : "live";
  let progress = "starting";
  const say = (done: number, of: number): void => {
    progress = `${done.toLocaleString("en")} of ${of.toLocaleString("en")}`;
  };
  const telling = setInterval(() => console.error(progress), PROGRESS_MS);
  try {
    const report =
      options.live === undefined
        ? await tryLetters(
            {
              ...question,
              sinceMs: options.since ?? null,
              limit: options.limit ?? LETTERS,
            },
            say,
          )
        : await tryLive(
            { ...question, count: options.live },
            say,
            whenEnough((options.wait ?? WAIT_S) * 1000),
          );
    const shown = options.json ? reportJson : reportText;
    console.log(shown(adapter, source, report));
  } finally {
    clearInterval(telling);
  }
}

/** Given when the time is up, or by the first Ctrl-C. */
function whenEnough(ms: number): AbortSignal {
  const stopped = new AbortController();
  process.once("SIGINT", () => stopped.abort());
  return AbortSignal.any([stopped.signal, AbortSignal.timeout(ms)]);
}

const BACK_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Unix milliseconds. */
function moment(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (number !== undefined)
    return Date.now() - Number(number) * BACK_MS[unit!]!;
  const ms = parseTime(text) / 1000;
  if (Number.isNaN(ms))
    throw new InvalidArgumentError(
      "must be an ISO 8601 time such as 2026-05-01T12:00:00Z, or 90m, 24h, 7d",
    );
  return ms;
}
