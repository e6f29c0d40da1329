/** `twinstream tenants`: whose messages are taken, and whose users get in. */
import { Command, Option } from "commander";
import type {
  ListedTenant,
  TenantsAdmin,
} from "../adapters/timescale/tenants-admin.js";
import type { TellAct } from "./operator-acts.js";
import { segment } from "./arguments.js";
import { table } from "./table.js";

interface Tools {
  readonly admin: TenantsAdmin;
  readonly audit: TellAct;
}

export function tenantsCommand(): Command {
  const command = new Command("tenants")
    .description("show and change whose messages are taken")
    .addHelpText(
      "after",
      `
A tenant's devices publish traksense/{tenant}/{site}/{device}/telem (MQTT_TENANT_PREFIX) and so on; the flat devices/…
topics are those of the tenant default. Processors hear of a change within five seconds.

Messages of a tenant that is not here, or is disabled, are kept as dead letters (unknown_tenant). Users of a disabled
tenant neither log in nor refresh; access tokens that are out stay good for up to 15 minutes. Nothing is deleted.

  twinstream tenants add acme --name "Acme Refrigeration"
  twinstream users add ana --tenant acme --role operator
  twinstream tenants disable acme
  twinstream tenants list --json`,
    );
  const json = new Option("--json", "print JSON");

  command
    .command("list", { isDefault: true })
    .description("every tenant with its state, devices and users")
    .addOption(json)
    .action((options: { json?: true }) =>
      withAdmin(async ({ admin }) => {
        const tenants = await admin.list();
        console.log(
          options.json ? JSON.stringify(tenants) : tenantsTable(tenants),
        );
      }),
    );
  command
    .command("add")
    .description("take the messages of a tenant's devices from now on")
    .argument("<tenant>", "1 to 128 of [A-Za-z0-9._:-]", segment)
    .option("--name <name>", "what people call it")
    .addOption(json)
    .action((tenant: string, options: { name?: string; json?: true }) =>
      withAdmin(async ({ admin, audit }) => {
        const added = await admin.add(tenant, options.name ?? null);
        audit("tenants add", tenant, tenant, added);
        if (!added)
          throw new Error(
            `there is a tenant ${tenant} already; should it be disabled: twinstream tenants enable ${tenant}`,
          );
        if (options.json) console.log(JSON.stringify({ tenant, added }));
        else console.log(`added ${tenant}`);
      }),
    );
  for (const act of ["disable", "enable"] as const)
    command
      .command(act)
      .description(
        act === "disable"
          ? "refuse its messages and its users, and end their sessions; nothing is deleted"
          : "take its messages and let its users in again",
      )
      .argument("<tenant>", "whom", segment)
      .addOption(json)
      .action((tenant: string, options: { json?: true }) =>
        withAdmin(async ({ admin, audit }) => {
          const disabled = act === "disable";
          const done = await admin.setDisabled(tenant, disabled);
          audit(`tenants ${act}`, tenant, tenant, done);
          if (!done)
            throw new Error(
              `there is no tenant ${tenant}; twinstream tenants list shows those there are`,
            );
          if (options.json) console.log(JSON.stringify({ tenant, disabled }));
          else
            console.log(
              disabled
                ? `${tenant} is disabled; processors know it within 5 s, tokens that are out end within 15 minutes`
                : `${tenant} is enabled; processors know it within 5 s`,
            );
        }),
      );
  return command;
}

async function withAdmin(work: (tools: Tools) => Promise<void>): Promise<void> {
  const [{ loadConfig }, { createTenantsAdmin }, { createActLog }] =
    await Promise.all([
      import("../config.js"),
      import("../adapters/timescale/tenants-admin.js"),
      import("./operator-acts.js"),
    ]);
  const config = loadConfig(process.env);
  const admin = createTenantsAdmin(config.DATABASE_URL);
  try {
    await work({ admin, audit: createActLog(config) });
  } finally {
    await admin.close();
  }
}

function tenantsTable(tenants: readonly ListedTenant[]): string {
  if (tenants.length === 0)
    return "no tenants: every message is refused; add one with: twinstream tenants add";
  return table(
    tenants.map(({ tenant, name, disabledAt, devices, users }) => [
      tenant,
      disabledAt === null ? "active" : `disabled ${disabledAt}`,
      `${devices} devices`,
      `${users} users`,
      name ?? "",
    ]),
  );
}
