/** `twinstream store`: how the database keeps the telemetry, and what to do when something of it fails. */
import { Command } from "commander";
import type { StoreStatus } from "../adapters/timescale/store-status.js";
import type { Finding } from "../domain/finding.js";
import { table } from "./table.js";

export function storeCommand(): Command {
  const command = new Command("store").description(
    "the store of telemetry: chunks, aggregates, policies",
  );
  command
    .command("status")
    .description(
      "sizes, freshness of the aggregates, policies and their last runs",
    )
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Uses DATABASE_URL. Exits with 1 when a policy fails or an aggregate is stale, and says what to do.

  twinstream store status
  twinstream store status --json | jq .aggregates`,
    )
    .action(async (options: { json?: true }) => {
      const { loadConfig } = await import("../config.js");
      const { readStoreStatus } =
        await import("../adapters/timescale/store-status.js");
      const { storeFindings } = await import("./store-findings.js");
      const status = await readStoreStatus(
        loadConfig(process.env).DATABASE_URL,
      );
      const findings = storeFindings(status);
      console.log(
        options.json
          ? JSON.stringify({ ...status, findings })
          : shown(status, findings),
      );
      if (findings.some(({ verdict }) => verdict === "wrong"))
        process.exitCode = 1;
    });
  return command;
}

function shown(status: StoreStatus, findings: readonly Finding[]): string {
  const { engine, versions, retention, lateBuckets } = status;
  const isTimescale = engine === "timescaledb";
  const kept = (days: number) => (days === 0 ? "for ever" : `${days} days`);
  const parts = [
    `${isTimescale ? `TimescaleDB ${versions.timescaledb} on ` : ""}PostgreSQL ${versions.postgresql}`,
    `about ${status.estimatedRows.toLocaleString("en")} raw rows, kept ${kept(retention.raw)}; dead letters ${kept(retention.deadLetters)}; figures for ever`,
    "",
    table([
      [isTimescale ? "chunks" : "partitions", "number", "size", ""],
      ...status.chunks.map((group) => [
        group.age,
        String(group.count),
        bytes(group.bytes),
        group.compressed ? "columnstore" : "",
      ]),
    ]),
  ];
  if (isTimescale)
    parts.push(
      "",
      table([
        ["aggregate", "size", "stored up to", ""],
        ...status.aggregates.map((one) => [
          one.name,
          bytes(one.bytes),
          one.watermark ?? "nothing yet",
          one.rowsBehind ? "rows wait" : "",
        ]),
      ]),
      "",
      table([
        ["policy", "every", "last run", "", "runs", "failed", "next"],
        ...status.policies.map((one) => [
          `${one.kind} of ${one.on}`,
          one.every,
          one.lastRun ?? "never",
          one.lastSucceeded === null
            ? ""
            : one.lastSucceeded
              ? "ok"
              : "reported failed",
          String(one.runs),
          String(one.failures),
          one.nextRun ?? "",
        ]),
      ]),
      "",
      lateBuckets.waiting === 0
        ? "no late rows wait for their refresh"
        : `${lateBuckets.waiting} hours with late rows wait for their refresh, the oldest ${lateBuckets.oldest}`,
    );
  else
    parts.push(
      "",
      "without TimescaleDB figures are worked out when they are asked for",
    );
  for (const { verdict, found, remedy } of findings)
    parts.push(
      "",
      `${verdict === "ok" ? "" : `${verdict}: `}${found}${remedy === null ? "" : `\n  → ${remedy}`}`,
    );
  return parts.join("\n");
}

function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = count;
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024;
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}
