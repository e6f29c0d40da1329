/** `twinstream validate`: does a running installation do what it is for? Tried from outside, with devices of its own. */
import { Command, InvalidArgumentError, Option } from "commander";
import type { Config } from "../config.js";
import { withMqttTls } from "../config/addresses.js";
import { read } from "../simulator/options.js";
import { word } from "./arguments.js";
import { firstLine } from "./password-input.js";
import type { GroundSettings } from "./validate/ground.js";
import { CHECKS, type CheckName } from "./validate/names.js";
import type { Outcome } from "./validate/run.js";

const EXIT = { failed: 1, badArguments: 2 } as const;
const WIDTH = Math.max(...CHECKS.map(({ name }) => name.length));
const NAMES: readonly string[] = CHECKS.map(({ name }) => name);

const HELP = `
Checks, in their order (--only takes some of them, by commas)
${CHECKS.map(({ name, shows }) => `  ${name.padEnd(WIDTH)}  ${shows}`).join("\n")}

It speaks MQTT as devices named validate-…, reads Redis, SQL and the log, and asks the gateway, at the addresses of the
settings: MQTT_URL, KAFKA_BROKERS, REDIS_URL, DATABASE_URL. DATABASE_URL must be of the user who migrates. Without --user it
makes a throw-away user, and for isolation a second one with a tenant of its own. Each check goes on whatever became of
the others.

In the end it removes its users, devices and their rows. Records on the log stay until their retention ends: a replay of
the log stores them again. What a run that was killed has left: twinstream validate --clean (not while another one runs).

Examples
  set -a; . .twinstream/stack.env; set +a; twinstream validate
  twinstream validate --only telemetry,latency --json
  echo "$PASSWORD" | twinstream validate --url https://gateway.example.com --user ana --password-stdin --tenant acme

Exit codes: 0 all is so, 1 a check failed, 2 bad arguments or settings.`;

interface Options {
  readonly url?: string;
  readonly mqtt?: string;
  readonly user?: string;
  readonly passwordStdin?: true;
  readonly tenant: string;
  readonly only?: readonly CheckName[];
  readonly points: number;
  /** Seconds. */
  readonly timeout: number;
  readonly clean?: true;
  readonly json?: true;
}

export function validateCommand(): Command {
  const command = new Command("validate")
    .description(
      "send telemetry, bad payloads, commands and acks through a running installation, and look at what comes of them",
    )
    .addOption(
      new Option(
        "--url <url>",
        "of the gateway (default: HTTP_URL, else HTTP_HOST and HTTP_PORT)",
      ).env("HTTP_URL"),
    )
    .option("--mqtt <url>", "MQTT broker (default: MQTT_URL)")
    .addOption(
      new Option(
        "--user <name>",
        "log in as this operator or admin, with VALIDATE_PASSWORD or --password-stdin",
      ).env("VALIDATE_USER"),
    )
    .option("--password-stdin", "read the user's password from standard input")
    .option(
      "--tenant <tenant>",
      "the user's, and that of the devices",
      word(read.segment),
      "default",
    )
    .option("--only <checks>", "only these, by commas", names)
    .option(
      "--points <n>",
      "readings of the throughput check",
      word(read.whole(40, 10_000_000)),
      10_000,
    )
    .addOption(
      new Option("--timeout <time>", "of each check")
        .default(30, "30s")
        .argParser(word(read.duration)),
    )
    .option("--clean", "only remove what earlier runs have left")
    .option("--json", "print one JSON object when all is done")
    .addHelpText("after", HELP)
    .allowExcessArguments(false)
    .exitOverride((error) =>
      process.exit(error.exitCode === 0 ? 0 : EXIT.badArguments),
    );
  return command.action(async (options: Options) => {
    if (options.passwordStdin && options.user === undefined)
      command.error("error: --password-stdin needs --user");
    const { loadConfig } = await import("../config.js");
    const config = loadConfig(process.env);
    if (options.clean) return clean(config, options);
    const user =
      options.user === undefined
        ? null
        : { name: options.user, password: await passwordOf(options, command) };
    process.exitCode = await validate(options, {
      config,
      mqttUrl:
        options.mqtt === undefined
          ? config.MQTT_URL
          : withMqttTls(options.mqtt, config),
      httpUrl: options.url ?? gatewayOf(config),
      tenant: options.tenant,
      user,
      points: options.points,
    });
  });
}

/** Answers the exit code. */
async function validate(
  options: Options,
  settings: GroundSettings,
): Promise<number> {
  const [{ prepareGround }, { runCheck }] = await Promise.all([
    import("./validate/ground.js"),
    import("./validate/run.js"),
  ]);
  const stop = new AbortController();
  // A second signal finds no handler and ends the process.
  const stopped = () => stop.abort();
  process.once("SIGINT", stopped).once("SIGTERM", stopped);
  const ground = prepareGround(settings);
  const wanted = CHECKS.filter(
    ({ name }) => options.only?.includes(name) ?? true,
  );
  const outcomes: Outcome[] = [];
  const say = (line: string): void => {
    if (!options.json) console.log(line);
  };
  try {
    for (const check of wanted) {
      if (stop.signal.aborted) break;
      const outcome = await runCheck(
        check,
        ground,
        options.timeout * 1000,
        stop.signal,
      );
      outcomes.push(outcome);
      say(lineOf(outcome));
    }
  } finally {
    process.off("SIGINT", stopped).off("SIGTERM", stopped);
  }
  const left = await ground.end();
  const failed = outcomes.filter(({ ok }) => !ok).map(({ check }) => check);
  const untried = wanted.length - outcomes.length;
  const ok = failed.length === 0 && untried === 0;
  for (const one of left) say(`left    ${one}`);
  if (left.length > 0)
    say(
      "→ once the system has worked off its backlog: twinstream validate --clean",
    );
  say(
    ok
      ? `all ${outcomes.length} checks are well (${ground.run})`
      : `${failed.length} of ${wanted.length} checks failed: ${failed.join(", ")}${untried === 0 ? "" : `; ${untried} not tried`}`,
  );
  if (options.json)
    console.log(
      JSON.stringify({ ok, run: ground.run, checks: outcomes, left }),
    );
  return ok ? 0 : EXIT.failed;
}

async function clean(config: Config, options: Options): Promise<void> {
  const { cleanUp } = await import("./validate/ground.js");
  const devices = await cleanUp(config);
  console.log(
    options.json
      ? JSON.stringify({ devices })
      : `removed ${devices} devices of earlier runs, and their users`,
  );
}

function lineOf({ check, ok, found, remedy }: Outcome): string {
  const line = `${ok ? "ok    " : "FAILED"}  ${check.padEnd(WIDTH)}  ${found}`;
  return remedy === null
    ? line
    : `${line}\n${" ".repeat(WIDTH + 10)}→ ${remedy}`;
}

async function passwordOf(options: Options, command: Command): Promise<string> {
  const password = options.passwordStdin
    ? await firstLine()
    : process.env["VALIDATE_PASSWORD"];
  if (password) return password;
  return command.error(
    "error: --user needs a password: VALIDATE_PASSWORD in the environment, or --password-stdin",
  );
}

const gatewayOf = (config: Config): string =>
  `${config.TLS_CERT === undefined ? "http" : "https"}://${config.HTTP_HOST === "0.0.0.0" ? "127.0.0.1" : config.HTTP_HOST}:${config.HTTP_PORT}`;

function names(text: string): CheckName[] {
  return text.split(",").map((part) => {
    const name = part.trim();
    if (!NAMES.includes(name))
      throw new InvalidArgumentError(
        `${JSON.stringify(name)} is none; there are ${NAMES.join(", ")}`,
      );
    return name as CheckName;
  });
}
