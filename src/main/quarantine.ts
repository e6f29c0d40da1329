/** `twinstream quarantine`: devices whose actor crashed too often, and letting one back in before its time. */
import { setTimeout as pause } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import type { LetterDesk, Quarantined } from "../ports.js";
import type { Config } from "../config.js";
import { DEFAULT_TENANT, isSegment } from "../domain/names.js";
import { table } from "./table.js";

const LOOK_MS = 100;
const BAD_ARGUMENTS = 2;

const exit = (error: { exitCode: number }): never =>
  process.exit(error.exitCode === 0 ? 0 : BAD_ARGUMENTS);

export function quarantineCommand(): Command {
  const command = new Command("quarantine")
    .description("show devices in quarantine, or release one")
    .exitOverride(exit)
    .addHelpText(
      "after",
      `
A device whose messages made its actor crash five times in a minute is set aside for ten minutes: what it sends meanwhile is
kept as dead letters (twinstream dlq list --reason quarantined), to be replayed afterwards.

  twinstream quarantine list
  twinstream quarantine release dev-7 --tenant acme`,
    );
  command
    .command("list", { isDefault: true })
    .description("devices in quarantine, and until when")
    .option("--tenant <name>", "of this tenant only")
    .option("--json", "print one JSON array")
    .action((options: { tenant?: string; json?: true }) =>
      withDesk(async (_, desk) => {
        const devices = await desk.quarantined(options.tenant ?? null);
        console.log(
          options.json ? JSON.stringify(devices) : devicesTable(devices),
        );
      }),
    );
  command.addCommand(releaseCommand());
  return command;
}

/** Also `twinstream devices release`. */
export const releaseCommand = (): Command =>
  new Command("release")
    .description("end a device's quarantine now")
    .exitOverride(exit)
    .argument("<device>", "device id", readSegment)
    .option("--tenant <name>", "whose device", readSegment, DEFAULT_TENANT)
    .option("--wait <seconds>", "for the processor to do it", readSeconds, 30)
    .option("--json", "print JSON")
    .action(
      (
        device: string,
        options: { tenant: string; wait: number; json?: true },
      ) =>
        withDesk(async (config, desk) => {
          const { tenant } = options;
          const at = { tenant, deviceId: device };
          const outcome = await release(config, desk, at, options.wait);
          console.log(
            options.json
              ? JSON.stringify({ device, tenant, outcome })
              : SAID[outcome](device),
          );
          if (outcome === "asked") process.exitCode = 1;
        }),
    );

type Outcome = "released" | "not quarantined" | "asked";

const SAID: Readonly<Record<Outcome, (device: string) => string>> = {
  released: (device) => `${device} is released`,
  "not quarantined": (device) => `${device} is not in quarantine`,
  asked: (device) =>
    `the release of ${device} is on the log, and no processor has taken it yet: is one running?`,
};

/**
 * Puts the release on the log and waits for the device's lane to take it. Releasing twice is harmless.
 * @param waitS seconds
 * @throws Error when there is no such device
 */
async function release(
  config: Config,
  desk: Pick<LetterDesk, "quarantineOf">,
  at: { tenant: string; deviceId: string },
  waitS: number,
): Promise<Outcome> {
  const look = () => desk.quarantineOf(at.tenant, at.deviceId);
  const untilMs = await look();
  if (untilMs === null)
    throw new Error(`tenant ${at.tenant} has no device ${at.deviceId}`);
  if (untilMs === 0) return "not quarantined";
  const [kafka, writing, { TOPIC }, { releaseRecord }, acts] =
    await Promise.all([
      import("./kafka-log.js"),
      import("../adapters/kafka/writer.js"),
      import("../domain/names.js"),
      import("../domain/quarantine.js"),
      import("./operator-acts.js"),
    ]);
  const log = writing.createLogWriter(
    kafka.commandLogConnection(config, "quarantine"),
  );
  try {
    const asked = { ...at, by: "the command line", atMs: Date.now() };
    await log.append(TOPIC.commands, [releaseRecord(asked)]);
  } finally {
    await log.close();
  }
  acts.createActLog(config)("quarantine release", at.deviceId, at.tenant, true);
  const end = Date.now() + waitS * 1000;
  while (Date.now() < end) {
    if ((await look()) === 0) return "released";
    await pause(LOOK_MS);
  }
  return "asked";
}

async function withDesk(
  work: (config: Config, desk: LetterDesk) => Promise<void>,
): Promise<void> {
  const [{ loadConfig }, { createLetterDesk }] = await Promise.all([
    import("../config.js"),
    import("../adapters/timescale/letter-desk.js"),
  ]);
  const config = loadConfig(process.env);
  const desk = createLetterDesk({
    url: config.DATABASE_URL,
    name: "quarantine",
    role: "twinstream_writer",
    poolMax: 1,
  });
  try {
    await work(config, desk);
  } finally {
    await desk.close();
  }
}

function devicesTable(devices: readonly Quarantined[]): string {
  if (devices.length === 0) return "no device is in quarantine";
  return table(
    devices.map(({ tenant, deviceId, untilMs }) => [
      deviceId,
      tenant,
      `until ${new Date(untilMs).toISOString()}`,
    ]),
  );
}

function readSegment(text: string): string {
  if (!isSegment(text))
    throw new InvalidArgumentError("must be 1 to 128 of [A-Za-z0-9._:-]");
  return text;
}

function readSeconds(text: string): number {
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new InvalidArgumentError("must be whole seconds from 1 on");
  return seconds;
}
