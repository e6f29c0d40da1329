/** The command line as a tree of commands and options. Each loads what it needs only when it runs. */
import { Command } from "commander";
import { adaptersCommand } from "./adapters.js";
import { capacityCommand } from "./capacity.js";
import { checkCommand } from "./check.js";
import { claimsCommand } from "./claims.js";
import { devicesCommand } from "./devices.js";
import { explainCommand } from "./explain.js";
import { ledgerCommand } from "./ledger.js";
import { dlqCommand } from "./dlq.js";
import { drillCommand } from "./drill.js";
import { logCommand } from "./log.js";
import { offsetsCommand } from "./offsets.js";
import { quarantineCommand } from "./quarantine.js";
import { simulateCommand } from "./simulate.js";
import { storeCommand } from "./store.js";
import { tenantsCommand } from "./tenants.js";
import { topCommand } from "./top.js";
import { usersCommand } from "./users.js";
import { validateCommand } from "./validate.js";

export function createProgram(): Command {
  const program = new Command("twinstream")
    .description(
      "Actor-model stream processor for device fleets: MQTT in, Redis and TimescaleDB out, over Redpanda or any Kafka-protocol log.",
    )
    .version("0.1.0")
    .showHelpAfterError()
    .addHelpText(
      "after",
      `
Settings come from the environment, and from a .env file in the working directory; deploy/.env.example lists all.

A first look:
  npm start                         everything on this machine, with a simulated fleet
  twinstream check                  is everything there that the roles need?
  twinstream simulate --help        devices that speak real MQTT, as many as you like

Exit codes: 0 done, 1 failed, 2 bad arguments or settings.`,
    );

  const role = (name: string, description: string, more: string): void => {
    program
      .command(name)
      .description(description)
      .addHelpText("after", `\n${more}`)
      .action(async () => {
        const { runRoles } = await import("./role.js");
        const { loadRoles } = await import("./all.js");
        await runRoles(await loadRoles(name));
      });
  };

  role(
    "bridge",
    "take messages from the MQTT broker to the log",
    "Acknowledges a message to the broker only once the log has it (acks=all). Uses MQTT_*, BRIDGE_*, KAFKA_BROKERS.\nSeveral bridges: give each its own BRIDGE_ID and its own share of MQTT_TOPICS, such that all topics of a device go\nthrough one of them:\n  BRIDGE_ID=acme  MQTT_TOPICS='{prefix}/acme/+/+/telem,{prefix}/acme/+/+/event,{prefix}/acme/+/+/state,{prefix}/acme/+/+/ack'\n  BRIDGE_ID=flat  MQTT_TOPICS=devices/+/hello,devices/+/data,devices/+/ack\ndeploy/operations.md says more under \"Several bridges\".",
  );
  role(
    "processor",
    "run the device actors of the partitions that the group assigns",
    "Uses KAFKA_BROKERS, REDIS_URL, DATABASE_URL, MQTT_URL (for commands). Start as many as there are partitions at most.",
  );
  role(
    "gateway",
    "answer HTTP",
    "Uses HTTP_PORT, REDIS_URL, DATABASE_URL (or DATABASE_READ_URL), KAFKA_BROKERS. Start as many as you like behind any balancer.",
  );
  role(
    "worker",
    "store uploads: object store → rows",
    "Uses KAFKA_BROKERS, DATABASE_URL, STORAGE_TYPE, BULK_*. Several share the partitions of telemetry.raw.",
  );
  role("all", "run every role in one process", "For a small installation.");

  program
    .command("migrate")
    .description(
      "make or bring up to date the topics and the schema; harmless to repeat",
    )
    .option("--json", "print one JSON object; what is done goes to stderr")
    .action(async ({ json }: { json?: true }) => {
      const { migrate } = await import("./migrate.js");
      const done = await migrate((line) =>
        json ? console.error(line) : console.log(line),
      );
      if (json) console.log(JSON.stringify(done));
    });
  program.addCommand(adaptersCommand());
  program.addCommand(capacityCommand());
  program.addCommand(checkCommand());
  program.addCommand(offsetsCommand());
  program.addCommand(claimsCommand());
  program.addCommand(devicesCommand());
  program.addCommand(explainCommand());
  program.addCommand(ledgerCommand());
  program.addCommand(logCommand());
  program.addCommand(dlqCommand());
  program.addCommand(quarantineCommand());
  program.addCommand(drillCommand());
  program.addCommand(simulateCommand());
  program.addCommand(storeCommand());
  program.addCommand(tenantsCommand());
  program.addCommand(topCommand());
  program.addCommand(usersCommand());
  program.addCommand(validateCommand());
  return program;
}
