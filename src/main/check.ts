/** `twinstream check`: is everything there that the roles need, and set up as they need it? */
import { Command, InvalidArgumentError } from "commander";
import type { PartFinding } from "./check-parts.js";

export function checkCommand(): Command {
  return new Command("check")
    .description(
      "connect to every service the roles need, and say what is wrong and what to do",
    )
    .option("--json", "print one JSON object instead of lines")
    .option(
      "--messages <count>",
      "messages to park at the MQTT broker; 0 leaves its queue alone",
      wholeNumber,
      5000,
    )
    .addHelpText(
      "after",
      `
Looks at MQTT_URL (and parks messages on a throw-away topic, twinstream/check/…, for a subscriber that is
away: all must be there when it comes back), KAFKA_BROKERS (topics and their partitions), REDIS_URL (version,
eviction policy), DATABASE_URL and DATABASE_READ_URL (version, schema, TimescaleDB), and where uploads are kept
(STORAGE_PATH, or MINIO_ENDPOINT's bucket). One that is away does not keep it from looking at the others. Nothing
is left behind.

Exit codes: 0 all is well, 1 something is wrong, 2 bad arguments or settings.`,
    )
    .action(async (options: { json?: true; messages: number }) => {
      const { loadConfig } = await import("../config.js");
      const { checkAll } = await import("./check-parts.js");
      const findings = await checkAll(
        loadConfig(process.env),
        options.messages,
      );
      const ok = findings.every(({ verdict }) => verdict !== "wrong");
      console.log(
        options.json ? JSON.stringify({ ok, findings }) : lines(findings),
      );
      process.exitCode = ok ? 0 : 1;
    });
}

const LABEL = { ok: "ok    ", advice: "advice", wrong: "WRONG " } as const;

function lines(findings: readonly PartFinding[]): string {
  const width = Math.max(...findings.map(({ part }) => part.length));
  const indent = " ".repeat(LABEL.ok.length + width + 4);
  return findings
    .map(({ part, verdict, found, remedy }) => {
      const line = `${LABEL[verdict]}  ${part.padEnd(width)}  ${found}`;
      return remedy === null ? line : `${line}\n${indent}→ ${remedy}`;
    })
    .join("\n");
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text))
    throw new InvalidArgumentError("must be a whole number, 0 to 999999");
  return Number(text);
}
