/** `twinstream dlq`: dead letters by their cause, and what to do about them. */
import { Command, InvalidArgumentError, Option } from "commander";
import { DEAD_LETTER_REASONS, type DeadLetterReason } from "../errors.js";
import type { LetterDesk, LetterFilter, LetterState } from "../ports.js";
import type { Config } from "../config.js";
import type { ReplayOptions } from "./dlq-replay.js";

const STATES = ["open", "replaying", "stored", "dropped"] as const;
const UNSETTLED: readonly LetterState[] = ["open", "replaying"];
const FINGERPRINT = /^[0-9a-f]{12}$/;
const BAD_ARGUMENTS = 2;
/** Letters that `show` lists of a cause. */
const SHOWN = 20;

export function dlqCommand(): Command {
  const command = new Command("dlq")
    .description("show dead letters by their cause; replay or drop them")
    .exitOverride((error) =>
      process.exit(error.exitCode === 0 ? 0 : BAD_ARGUMENTS),
    )
    .addHelpText(
      "after",
      `
A dead letter is a message, or one reading of it, that was kept with its reason instead of being stored; it is kept for
DLQ_RETENTION_DAYS. Mend the cause (an adapter, a tenant, a device), see what a replay would give, then replay. Letters
that are stored or dropped are left alone, so a replay that broke off is begun again by the same command. It answers 1
where letters fail again.

  twinstream dlq list                                     causes: "1,240 messages, 1 cause, 37 devices, since 10:02"
  twinstream dlq show 4f2a90c1be77                        one of them, with its newest letters
  twinstream dlq show 1871                                one letter, with the bytes that the device sent
  twinstream dlq replay --fingerprint 4f2a90c1be77 --dry-run
  twinstream dlq replay --fingerprint 4f2a90c1be77
  twinstream dlq drop --device dev-7 --reason parse_error --yes`,
    );
  selecting(command.command("list", { isDefault: true }))
    .description(
      "causes, most messages first; with --letters each letter, newest first",
    )
    .option("--letters", "the letters themselves")
    .addOption(
      new Option("--state <state>", "open and replaying unless given").choices([
        ...STATES,
        "all",
      ]),
    )
    .option("--limit <n>", "at most so many", readCount, 50)
    .option("--json", "print one JSON array")
    .action((given: Selection & ListOptions) =>
      withDesk(async ({ desk }) => {
        const { causesTable, lettersTable } = await import("./dlq-print.js");
        const filter = filterOf(given);
        const states = statesOf(given.state);
        if (given.letters) {
          const letters = await desk.list(filter, states, {
            before: null,
            limit: given.limit,
          });
          return say(given, letters, () => lettersTable(letters));
        }
        const causes = await desk.causes(filter, states, given.limit);
        say(given, causes, () => causesTable(causes));
      }),
    );
  command
    .command("show")
    .description("one cause by its fingerprint, or one letter by its id")
    .argument("<fingerprint-or-id>", "as `list` shows them", readWhich)
    .option("--json", "print JSON")
    .action((which: string, options: { json?: true }) =>
      withDesk(async ({ desk }) => {
        const { causesTable, lettersTable, letterText, letterJson } =
          await import("./dlq-print.js");
        if (!FINGERPRINT.test(which)) {
          const letter = await desk.find(null, Number(which));
          if (letter === null)
            throw new Error(`there is no dead letter ${which}`);
          return say(options, letterJson(letter), () => letterText(letter));
        }
        const filter = filterOf({ fingerprint: which });
        const causes = await desk.causes(filter, STATES, 1);
        if (causes.length === 0)
          throw new Error(`there is no dead letter of the cause ${which}`);
        const page = { before: null, limit: SHOWN };
        const letters = await desk.list(filter, STATES, page);
        say(
          options,
          { ...causes[0], letters },
          () => `${causesTable(causes)}\n\n${lettersTable(letters)}`,
        );
      }),
    );
  selecting(command.command("replay"))
    .description(
      "append their records to the log again, in the order of each device",
    )
    .option("--dry-run", "only show what would be stored, and what fails again")
    .option("--limit <n>", "at most so many messages", readCount)
    .option(
      "--wait <seconds>",
      "how long to wait for the processor without any progress",
      readCount,
      60,
    )
    .option("--json", "print JSON")
    .action((given: Selection & ReplayOptions) =>
      withDesk(async ({ desk, config }) => {
        const filter = mustSelect(given, "replay");
        const { rehearseLetters, replayLetters } =
          await import("./dlq-replay.js");
        const work = given.dryRun ? rehearseLetters : replayLetters;
        await work(config, desk, filter, given);
      }),
    );
  selecting(command.command("drop"))
    .description(
      "give letters up; they stay to be seen until their time is over",
    )
    .option("--yes", "do it; without, only say how many there are")
    .option("--json", "print JSON")
    .action((given: Selection & { yes?: true; json?: true }) =>
      withDesk(async ({ desk, config }) => {
        const filter = mustSelect(given, "drop");
        if (!given.yes) {
          const tally = await desk.tally(filter);
          const letters = tally.reduce((sum, one) => sum + one.letters, 0);
          say(given, { letters, dropped: 0 }, () =>
            letters === 0
              ? "no such dead letters"
              : `${letters} dead letters would be dropped; add --yes to do it`,
          );
          return;
        }
        const { createActLog } = await import("./operator-acts.js");
        const { selectionText } = await import("./dlq-print.js");
        const dropped = await desk.drop(filter);
        const audit = createActLog(config);
        audit(
          "dlq drop",
          `${dropped} letters: ${selectionText(filter)}`,
          filter.tenant,
          true,
        );
        say(given, { dropped }, () => `dropped ${dropped} dead letters`);
      }),
    );
  return command;
}

interface Selection {
  tenant?: string;
  device?: string;
  reason?: DeadLetterReason;
  fingerprint?: string;
  id?: number;
  since?: number;
  until?: number;
  all?: true;
}
interface ListOptions {
  letters?: true;
  state?: LetterState | "all";
  limit: number;
  json?: true;
}
function selecting(command: Command): Command {
  const time = "an ISO 8601 time, or an age such as 90m, 24h or 3d";
  command
    .option("--fingerprint <hex>", "of one cause", readFingerprint)
    .option("--id <n>", "one letter", readCount)
    .addOption(
      new Option("--reason <reason>", "of one reason").choices([
        ...DEAD_LETTER_REASONS,
      ]),
    )
    .option("--tenant <name>", "of this tenant only")
    .option("--device <id>", "of this device only")
    .option("--since <time>", `failed since ${time}`, readTime)
    .option("--until <time>", `failed before ${time}`, readTime);
  if (command.name() !== "list") command.option("--all", "every one there is");
  return command;
}

const filterOf = (given: Selection): LetterFilter => ({
  tenant: given.tenant ?? null,
  device: given.device ?? null,
  reason: given.reason ?? null,
  fingerprint: given.fingerprint ?? null,
  id: given.id ?? null,
  sinceMs: given.since ?? null,
  untilMs: given.until ?? null,
});

function mustSelect(given: Selection, doing: string): LetterFilter {
  const filter = filterOf(given);
  if (!given.all && Object.values(filter).every((one) => one === null)) {
    console.error(
      `error: say which dead letters to ${doing}: --fingerprint, --id, --reason, --tenant, --device, --since, --until, or --all`,
    );
    process.exit(BAD_ARGUMENTS);
  }
  return filter;
}

const statesOf = (given: ListOptions["state"]): readonly LetterState[] =>
  given === undefined ? UNSETTLED : given === "all" ? STATES : [given];

async function withDesk(
  work: (tools: { desk: LetterDesk; config: Config }) => Promise<void>,
): Promise<void> {
  const [{ loadConfig }, { createLetterDesk }] = await Promise.all([
    import("../config.js"),
    import("../adapters/timescale/letter-desk.js"),
  ]);
  const config = loadConfig(process.env);
  const desk = createLetterDesk({
    url: config.DATABASE_URL,
    name: "dlq",
    role: "twinstream_writer",
    poolMax: 1,
  });
  try {
    await work({ desk, config });
  } finally {
    await desk.close();
  }
}

function say(
  options: { json?: true },
  facts: unknown,
  text: () => string,
): void {
  console.log(options.json ? JSON.stringify(facts) : text());
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new InvalidArgumentError("must be a whole number from 1 on");
  return count;
}

function readFingerprint(text: string): string {
  if (!FINGERPRINT.test(text))
    throw new InvalidArgumentError(
      "must be the 12 hex digits that `list` shows",
    );
  return text;
}

function readWhich(text: string): string {
  if (!FINGERPRINT.test(text) && !/^[1-9]\d{0,10}$/.test(text))
    throw new InvalidArgumentError(
      "must be a fingerprint (12 hex digits) or a letter's id, as `list` shows them",
    );
  return text;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Unix milliseconds. */
function readTime(text: string): number {
  const age = /^(\d{1,6})([smhd])$/.exec(text);
  if (age !== null) return Date.now() - Number(age[1]) * UNIT_MS[age[2]!]!;
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || !/^\d{4}-\d\d-\d\d/.test(text))
    throw new InvalidArgumentError(
      "must be an ISO 8601 time such as 2026-05-01T12:00:00Z, or an age such as 90m, 24h or 3d",
    );
  return ms;
}
