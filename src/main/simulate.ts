/** `twinstream simulate`: a fleet of simulated devices, or a replayed series, that speaks real MQTT. */
import { Command, Option } from "commander";
import { withMqttTls } from "../config/addresses.js";
import { TwinstreamError, reasonOf } from "../errors.js";
import { word } from "./arguments.js";
import {
  type SimulateOptions,
  conflictIn,
  read,
} from "../simulator/options.js";
import {
  gatewayOf,
  missingPassword,
  uploadOptions,
} from "./simulate-uploads.js";

const EXIT = { failed: 1, badArguments: 2 } as const;
/** Options that say what a fleet sends; a replayed file says it itself. */
const FLEET_ONLY = [
  "devices",
  "rate",
  "duration",
  "messages",
  "mix",
  "outOfOrder",
  "duplicates",
  "poison",
  "points",
  "connections",
  "prefix",
  "start",
  "uploadEvery",
  "credentials",
];

const HELP = `
What is sent
  normalised   {"schema":"v1",…} with --points points       plain   JSON of the device's own
  parsec       an inverter's parsec_v1, 3 points            hello   keep-alive, no reading
  --poison     messages that must end as dead letters (broken JSON, wrong types, the year 1999, …)
  --duplicates the bytes of an earlier message once more    --out-of-order  kept back for up to 8 turns of the device
Every payload carries seq and boot (as points; parsec within fw; a tenant's hello is just the word online), and a device
never uses a time twice but in duplicates. With the same options, --seed and --start a run sends the same bytes again,
whatever the machine's speed: with --rate 0 device clocks advance 10 µs a message.

The ledger: one JSON line for each attempt
  dev boot seq devTs(µs) class(ok|dup|late|poison|hello) points sha256 [reason] attempt outcome [code] tSend tPuback|null
  outcome is acked, refused, or unknown (no answer came: it may have arrived once or not at all). tSend and tPuback are
  Unix milliseconds. A message that was sent again after a lost connection has a line for each attempt.
  An upload's: class(upload) key claim readings sha256 outcome status tSend tAnswer; it is sent again under the same key
  until it is taken, one claim however often. Its readings are duplicates where seconds were uploaded before.

Ctrl-C stops sending, waits for the answers to what is under way (--drain) and prints the summary; a second one quits.
Two runs at once need different --prefix: a broker lets a device connect only once.

Examples
  twinstream simulate                                            10 devices, a message a second each, until Ctrl-C
  twinstream simulate --devices 200 --rate 1000 --duration 1m --ledger run.jsonl
  twinstream simulate --devices 1000 --connections 4 --rate 0 --messages 300000 --points 4 --json
  twinstream simulate --devices 50 --poison 0.01 --duplicates 0.05 --out-of-order 0.1 --seed 7
  twinstream simulate --tenant acme --site lisbon --mix normalised=1
  UPLOAD_PASSWORD=… twinstream simulate --upload-every 1m --upload-user ana
  twinstream simulate --replay machine_temperature.csv --unit °F --device press-1

Exit code: 0 when it ran to its end (the summary says how), 1 when it could not, 2 for bad arguments or settings.`;

export function simulateCommand(): Command {
  const option = (flags: string, text: string) => new Option(flags, text);
  const command = new Command("simulate")
    .description(
      "run a fleet of simulated devices against the MQTT broker, and keep a ledger of what it took",
    )
    .addOption(
      option("--devices <n>", "how many")
        .default(10)
        .argParser(word(read.whole(1, 1_000_000))),
    )
    .addOption(
      option(
        "--rate <n>",
        "messages/s over the fleet; 0: as fast as the broker acknowledges (default: one a device)",
      ).argParser(word(read.number)),
    )
    .addOption(
      option(
        "--duration <time>",
        "stop after this: 30s, 5m, 1h (default: Ctrl-C)",
      ).argParser(word(read.duration)),
    )
    .addOption(
      option("--messages <n>", "stop after so many").argParser(
        word(read.whole(1, Number.MAX_SAFE_INTEGER)),
      ),
    )
    .addOption(
      option("--mix <weights>", "what devices send")
        .default(
          read.mix("normalised=70,plain=20,parsec=5,hello=5"),
          "normalised=70,plain=20,parsec=5,hello=5",
        )
        .argParser(word(read.mix)),
    )
    .addOption(
      option(
        "--out-of-order <share>",
        "of messages, sent after later ones (0.5 at most is reached)",
      )
        .default(0)
        .argParser(word(read.share)),
    )
    .addOption(
      option("--duplicates <share>", "of messages, sent once more")
        .default(0)
        .argParser(word(read.share)),
    )
    .addOption(
      option("--poison <share>", "of messages, to be refused")
        .default(0)
        .argParser(word(read.share)),
    )
    .addOption(
      option("--points <n>", "points of a message, seq and boot among them")
        .default(6)
        .argParser(word(read.whole(2, 1000))),
    )
    .addOption(
      option(
        "--connections <n>",
        "MQTT connections (default: one a device up to 500 devices, beyond that 500 shared)",
      ).argParser(word(read.whole(1, 60_000))),
    )
    .addOption(
      option(
        "--in-flight <n>",
        "unacknowledged messages on a connection at most (default: 20, or 256 where devices share one)",
      ).argParser(word(read.whole(1, 65_535))),
    )
    .addOption(
      option("--qos <0|1>", "QoS of the messages")
        .default(1)
        .argParser(word(read.whole(0, 1))),
    )
    .addOption(
      option("--seed <n>", "of all choices")
        .default(1)
        .argParser(word(read.whole(0, Number.MAX_SAFE_INTEGER))),
    )
    .addOption(
      option(
        "--start <time>",
        "where device clocks start (default: now)",
      ).argParser(word(read.time)),
    )
    .addOption(
      option(
        "--tenant <name>",
        "use a tenant's topics, with --site (default: devices/{id}/…)",
      ).argParser(word(read.segment)),
    )
    .addOption(
      option("--site <name>", "the tenant's site").argParser(
        word(read.segment),
      ),
    )
    .addOption(
      option("--prefix <text>", "of device ids")
        .default("sim-")
        .argParser(word(read.segment)),
    )
    .addOption(
      option(
        "--no-answer-commands",
        'leave commands unanswered (otherwise every op succeeds but "fail")',
      ),
    )
    .addOption(option("--ledger <file>", "write a JSON line for each attempt"))
    .addOption(
      option("--drain <time>", "wait so long for the last answers")
        .default(10, "10s")
        .argParser(word(read.duration)),
    )
    .addOption(
      option(
        "--credentials <file>",
        "every device logs in as itself, with what this file has; what it lacks is made (MQTT_ADMIN_URL, DATABASE_URL)",
      ),
    )
    .addOption(option("--json", "print the summary as JSON"))
    .addOption(option("--mqtt <url>", "MQTT broker (default: MQTT_URL)"))
    .addOption(
      option(
        "--replay <file>",
        "send a CSV (timestamp in UTC, value) as one device, row by row",
      ).conflicts(FLEET_ONLY),
    )
    .addOption(
      option(
        "--device <id>",
        "device of the replay (default: from the file's name)",
      ).argParser(word(read.segment)),
    )
    .addOption(
      option(
        "--speed <n>",
        "of the replay, 1 is as it happened; 0: as fast as the broker acknowledges",
      )
        .default(0)
        .argParser(word(read.number)),
    )
    .addOption(
      option("--point <name>", "name of the replay's point").default("value"),
    )
    .addOption(option("--unit <text>", "unit of the replay's point"))
    .addHelpText("after", HELP)
    .showSuggestionAfterError(false)
    .allowExcessArguments(false)
    .exitOverride((error) =>
      process.exit(error.exitCode === 0 ? 0 : EXIT.badArguments),
    );
  for (const each of uploadOptions(word)) command.addOption(each);
  return command.action(async (options: SimulateOptions) => {
    const conflict = conflictIn(options) ?? missingPassword(options);
    if (conflict !== null) command.error(`error: ${conflict}`);
    process.exitCode = await run(options);
  });
}

/** Answers the exit code. */
async function run(options: SimulateOptions): Promise<number> {
  const [{ loadConfig }, { simulate }, { progressLine, summaryText }] =
    await Promise.all([
      import("../config.js"),
      import("../simulator/simulate.js"),
      import("../simulator/report.js"),
    ]);
  const stop = new AbortController();
  // A second signal finds no handler and ends the process.
  const stopped = () => stop.abort();
  process.once("SIGINT", stopped).once("SIGTERM", stopped);
  const terminal = process.stderr.isTTY;
  let mqttUrl = options.mqtt ?? "";
  let before: Parameters<typeof progressLine>[0] = null;
  try {
    const config = loadConfig(process.env);
    mqttUrl =
      options.mqtt === undefined
        ? config.MQTT_URL
        : withMqttTls(options.mqtt, config);
    const logIns =
      options.credentials === undefined
        ? undefined
        : await (
            await import("./fleet-log-ins.js")
          ).fleetLogIns(options.credentials, options, config);
    const summary = await simulate(options, {
      logIns,
      mqttUrl,
      tenantPrefix: config.MQTT_TENANT_PREFIX,
      signal: stop.signal,
      gateway: gatewayOf(options, config),
      notice: (text) =>
        process.stderr.write(
          `${terminal && before !== null ? "\r\u001B[K" : ""}${text}\n`,
        ),
      progress(at) {
        if (terminal)
          process.stderr.write(`\r${progressLine(before, at)}\u001B[K`);
        before = at;
      },
    });
    if (terminal) process.stderr.write("\n");
    process.stdout.write(
      `${options.json ? JSON.stringify(summary) : summaryText(summary, options.ledger ?? null)}\n`,
    );
    return 0;
  } catch (error) {
    process.stderr.write(
      `${terminal && before !== null ? "\n" : ""}error: ${explain(error, mqttUrl)}\n`,
    );
    return error instanceof TwinstreamError && error.code === "CONFIG_INVALID"
      ? EXIT.badArguments
      : EXIT.failed;
  } finally {
    process.off("SIGINT", stopped).off("SIGTERM", stopped);
  }
}

function explain(error: unknown, mqttUrl: string): string {
  if (error instanceof TwinstreamError && error.code === "BROKER_UNREACHABLE")
    return `${error.message} (tried ${withoutPassword(mqttUrl)}). Start it (npm start brings one up), or say where it is with --mqtt or MQTT_URL.`;
  return reasonOf(error);
}

function withoutPassword(url: string): string {
  if (!URL.canParse(url)) return url;
  const shown = new URL(url);
  if (shown.password !== "") shown.password = "…";
  return decodeURI(shown.href);
}
