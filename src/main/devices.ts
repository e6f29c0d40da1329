/** `twinstream devices`: what devices log in to the broker with. Passwords are shown once, on stdout alone. */
import { Command, InvalidArgumentError, Option } from "commander";
import { segment } from "./arguments.js";
import type * as Acts from "./devices-acts.js";
import { releaseCommand } from "./quarantine.js";

const HELP = `
Every device gets a user name of its own, a password that is shown this once, and rights to its own topics alone; it must
connect with the client id shown. The broker keeps the password's hash, the database who has which user name since when.
This takes Mosquitto with its dynamic security plugin, and the plugin's control user in MQTT_ADMIN_URL.

A rotation gives a second user name and password. The first works for MQTT_PASSWORD_OVERLAP_HOURS more, so that nothing is
lost while the device is changed over; revoke ends it at once and closes its session.
Passwords are due MQTT_PASSWORD_NOTICE_DAYS before they are MQTT_PASSWORD_MAX_AGE_DAYS old: list --due, a warning in the
gateway's log and the metric device_credentials_due tell. One that is overdue goes on working. A device added with
--rotates-itself is handed its next password in a command on its own topic, op rotate_credentials; it must log in with it,
acknowledge the command with ok, and keep the old one until it has.

  twinstream devices init                                  once for each broker: the account of bridge and processor
  twinstream devices add dev-1 dev-2
  twinstream devices add press-7 --tenant acme --site lisbon --json
  twinstream devices add --from ids.txt --if-none --json > credentials.jsonl
  twinstream devices rotate dev-1
  twinstream devices revoke dev-1 --username dev-1~1
  twinstream devices list --due

  twinstream devices release dev-1                         end its quarantine: see twinstream quarantine`;

export function devicesCommand(): Command {
  const command = new Command("devices")
    .description("give devices their own log-ins at the MQTT broker")
    .addHelpText("after", HELP);
  const json = () => new Option("--json", "print JSON, a line for each");
  const tenant = () =>
    new Option("--tenant <tenant>", "whose device it is")
      .argParser(segment)
      .default("default");

  command
    .command("list", { isDefault: true })
    .description("user names with their devices, states and dates")
    .argument("[device]", "of this one alone", segment)
    .addOption(
      new Option("--tenant <tenant>", "of this one alone").argParser(segment),
    )
    .option("--due", "those that are to be replaced")
    .option("--all", "the revoked too")
    .addOption(json())
    .action((device: string | undefined, options: Acts.ListOptions) =>
      act((acts, tools) => acts.list(tools, device, options)),
    );
  command
    .command("add")
    .description("first user name and password of devices")
    .argument(
      "[devices...]",
      "their ids",
      (id: string, before: string[]) => [...before, segment(id)],
      [] as string[],
    )
    .addOption(tenant())
    .option("--site <site>", "where they are; tenants' topics have it", segment)
    .option("--from <file>", "read ids from a file, one a line; - is stdin")
    .option("--if-none", "leave those out that have credentials already")
    .option("--rotates-itself", "they know the command rotate_credentials")
    .addOption(json())
    .action((devices: string[], options: Acts.AddOptions) =>
      act((acts, tools) => acts.add(tools, devices, options)),
    );
  command
    .command("rotate")
    .description("a second user name and password; the first works on a while")
    .argument("<device>", "its id", segment)
    .addOption(tenant())
    .option(
      "--overlap <hours>",
      "how long (default: MQTT_PASSWORD_OVERLAP_HOURS)",
      hours,
    )
    .addOption(json())
    .action((device: string, options: Acts.RotateOptions) =>
      act((acts, tools) => acts.rotate(tools, device, options)),
    );
  command
    .command("revoke")
    .description("end a device's user names, and the sessions that use them")
    .argument("<device>", "its id", segment)
    .option("--username <name>", "this one alone")
    .addOption(tenant())
    .addOption(json())
    .action((device: string, options: Acts.RevokeOptions) =>
      act((acts, tools) => acts.revoke(tools, device, options)),
    );
  command
    .command("init")
    .description(
      "make the account of MQTT_URL at the broker, for bridge and processor; harmless to repeat",
    )
    .option(
      "--as-any-device",
      "let it speak and listen as any device too; for a demo only",
    )
    .addOption(json())
    .action((options: Acts.InitOptions) =>
      act((acts, tools) => acts.init(tools, options)),
    );
  command.addCommand(releaseCommand());
  return command;
}

async function act(
  work: (acts: typeof Acts.acts, tools: Acts.Tools) => Promise<void>,
): Promise<void> {
  const { acts, withTools } = await import("./devices-acts.js");
  await withTools((tools) => work(acts, tools));
}

function hours(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 8760))
    throw new InvalidArgumentError("must be hours, 0 to 8760");
  return value;
}
