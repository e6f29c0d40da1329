/** `twinstream adapters`: how vendors' payloads are read, which devices have an adapter of their own, and trying one out. */
import { Argument, Command, Option } from "commander";
import type { AdapterUse } from "../adapters/timescale/adapter-desk.js";
import { ADAPTERS } from "../domain/adapters/registry.js";
import { tryCommand } from "./adapters-try.js";
import { count, segment } from "./arguments.js";

const BAD_ARGUMENTS = 2;

export function adaptersCommand(): Command {
  const command = new Command("adapters")
    .description(
      "how payloads are read: adapters, and the devices that use them",
    )
    .exitOverride((error) =>
      process.exit(error.exitCode === 0 ? 0 : BAD_ARGUMENTS),
    )
    .addHelpText(
      "after",
      `
A payload that names a schema is read by the adapter of that name. One that names none is read by the adapter that its
device is registered with, else as a plain JSON object: a point for each leaf. Processors follow a change within some
seconds; what is stored already stays as it was read.

  twinstream adapters list                                    what there is, and who uses it
  twinstream adapters set plug-7 tasmota                      payloads of plug-7 without a schema are Tasmota's
  twinstream adapters set plug-7 tasmota --tenant acme        … of another tenant's; also before it is heard of
  twinstream adapters unset plug-7
  twinstream adapters try tasmota --live 500 --device plug-7  first see what would change: nothing is stored
  twinstream adapters try tasmota --from-dlq --since 24h      which dead letters it would read`,
    );
  const adapter = new Argument("<adapter>", "its name").choices([
    ...ADAPTERS.keys(),
  ]);
  const tenant = new Option("--tenant <name>", "whose device")
    .argParser(segment)
    .default("default");
  const json = new Option("--json", "print one JSON object");

  command
    .command("list", { isDefault: true })
    .description("adapters, and the devices that are registered with them")
    .option("--tenant <name>", "devices of this tenant only", segment)
    .addOption(
      new Option("--adapter <name>", "devices of this one only").choices([
        ...ADAPTERS.keys(),
      ]),
    )
    .option("--limit <n>", "devices at most", count, 100)
    .addOption(json)
    .action((options: ListOptions) =>
      withDesk(async ({ desk }) => {
        const use = await desk.list(
          { tenant: options.tenant ?? null, adapter: options.adapter ?? null },
          options.limit,
        );
        console.log(options.json ? asJson(use) : asText(use));
      }),
    );
  command
    .command("set")
    .description("have a device's payloads read by an adapter")
    .argument("<device>", "device id", segment)
    .addArgument(adapter)
    .addOption(tenant)
    .addOption(json)
    .action((deviceId: string, name: string, options: SetOptions) =>
      withDesk(async ({ desk, config, audit }) => {
        const { partitionOf } = await import("../domain/partition.js");
        const { address } = await import("../domain/names.js");
        const at = address(options.tenant, deviceId);
        const done = await desk.register(
          { tenant: options.tenant, deviceId, adapter: name },
          partitionOf(Buffer.from(at), config.IOT_PARTITIONS),
        );
        audit("adapters set", `${deviceId} ${name}`, options.tenant, done);
        if (!done) throw new Error(`there is no tenant ${options.tenant}`);
        say(options, { device_id: deviceId, adapter: name }, [
          `payloads of ${at} without a schema are read by ${name}`,
        ]);
      }),
    );
  command
    .command("unset")
    .description("have a device's payloads read as plain JSON objects again")
    .argument("<device>", "device id", segment)
    .addOption(tenant)
    .addOption(json)
    .action((deviceId: string, options: SetOptions) =>
      withDesk(async ({ desk, audit }) => {
        const had = await desk.unregister(options.tenant, deviceId);
        if (had !== null)
          audit("adapters unset", `${deviceId} ${had}`, options.tenant, true);
        say(options, { device_id: deviceId, adapter: null, had }, [
          had === null
            ? `${deviceId} of ${options.tenant} had no adapter`
            : `${deviceId} of ${options.tenant} is no longer read by ${had}`,
        ]);
      }),
    );
  command.addCommand(tryCommand().copyInheritedSettings(command));
  return command;
}

interface ListOptions {
  readonly tenant?: string;
  readonly adapter?: string;
  readonly limit: number;
  readonly json?: true;
}
interface SetOptions {
  readonly tenant: string;
  readonly json?: true;
}

type Tools = Awaited<ReturnType<typeof openTools>>;

async function openTools() {
  const [{ loadConfig }, { createAdapterDesk }, { createActLog }] =
    await Promise.all([
      import("../config.js"),
      import("../adapters/timescale/adapter-desk.js"),
      import("./operator-acts.js"),
    ]);
  const config = loadConfig(process.env);
  const desk = createAdapterDesk({
    url: config.DATABASE_URL,
    name: "adapters",
    role: "twinstream_writer",
    poolMax: 1,
  });
  return { config, desk, audit: createActLog(config) };
}

async function withDesk(work: (tools: Tools) => Promise<void>): Promise<void> {
  const tools = await openTools();
  try {
    await work(tools);
  } finally {
    await tools.desk.close();
  }
}

function say(
  options: SetOptions,
  facts: object,
  lines: readonly string[],
): void {
  if (options.json)
    return console.log(JSON.stringify({ tenant: options.tenant, ...facts }));
  for (const line of lines) console.log(line);
}

const asJson = ({ counts, devices }: AdapterUse): string =>
  JSON.stringify({
    adapters: [...ADAPTERS.values()].map(({ name, version, title }) => ({
      name,
      version,
      title,
      devices: counts.get(name) ?? 0,
    })),
    devices: devices.map(({ tenant, deviceId, adapter }) => ({
      tenant,
      device_id: deviceId,
      adapter,
    })),
  });

function asText({ counts, devices }: AdapterUse): string {
  const lines = [...ADAPTERS.values()].map(({ name, version, title }) => {
    const used = counts.get(name) ?? 0;
    const who =
      used === 1 ? "1 device" : `${used.toLocaleString("en")} devices`;
    return `${name.padEnd(12)}  version ${version}  ${who.padEnd(14)}  ${title}`;
  });
  // Left behind by another version of the program: their payloads are dead letters.
  for (const [name, used] of counts)
    if (!ADAPTERS.has(name))
      lines.push(`${name.padEnd(12)}  unknown    ${used} devices`);
  if (devices.length > 0) lines.push("");
  for (const { tenant, deviceId, adapter } of devices)
    lines.push(`${adapter.padEnd(12)}  ${tenant.padEnd(12)}  ${deviceId}`);
  const total = [...counts.values()].reduce((sum, n) => sum + n, 0);
  if (total > devices.length)
    lines.push(`… and ${total - devices.length} more; see --limit, --adapter`);
  return lines.join("\n");
}
