/** `twinstream offsets`: where the database stands against the log, and what to do when they do not belong together. */
import { Command, InvalidArgumentError } from "commander";
import type { OffsetMove } from "../adapters/timescale/offsets.js";
import type { Standing } from "./offsets-standing.js";
import { table } from "./table.js";

export function offsetsCommand(): Command {
  const command = new Command("offsets")
    .description("show or move the offsets that processors begin at")
    .addHelpText(
      "after",
      `
Rows are unique, so reading a record again stores nothing twice: moving an offset back is always safe. Processors
need not be stopped: the owner of a moved partition notices and begins where it is told.

  twinstream offsets list                               stored offset, log, lag, owner of each partition
  twinstream offsets adopt                              log or database were wiped or exchanged: begin at the log's earliest records
  twinstream offsets rewind --to earliest               read all that the log still has once more
  twinstream offsets rewind --to 2026-05-01T12:00:00Z   … or what came since`,
    );
  command
    .command("list", { isDefault: true })
    .description("stored offset, log, lag and owner of each partition")
    .option("--json", "print one JSON array")
    .action(async (options: { json?: true }) => {
      await withStanding({}, async ({ standing }) => {
        console.log(
          options.json ? JSON.stringify(standing) : standingTable(standing),
        );
        if (standing.some(({ trouble }) => trouble !== null))
          process.exitCode = 1;
      });
    });
  command
    .command("adopt")
    .description(
      "accept this log and this database: partitions that do not belong together begin at the log's earliest record",
    )
    .option("--json", "print one JSON array of what was moved")
    .action(async (options: { json?: true }) => {
      await withStanding(options, async ({ standing, move }) => {
        const refused = standing.filter(({ trouble }) => trouble !== null);
        const moves = refused.map((at) => ({ ...at, offset: at.low }));
        // Where only the database has lost something, what Redis shows is of this log.
        await move(
          moves,
          moves.filter(({ nextOffset }) => nextOffset >= 0),
        );
        if (options.json) console.log(JSON.stringify(moves.map(moved)));
      });
    });
  command
    .command("rewind")
    .description("read records again")
    .requiredOption(
      "--to <where>",
      "`earliest`, or an ISO 8601 time of the log",
      readWhere,
    )
    .option("--partition <n>", "only this partition", readPartition)
    .option("--json", "print one JSON array of what was moved")
    .action(
      async (options: { to: number; partition?: number; json?: true }) => {
        await withStanding(options, async ({ standing, move, offsetsAt }) => {
          const moves: OffsetMove[] = [];
          for (const at of standing) {
            if ((options.partition ?? at.partition) !== at.partition) continue;
            const offset = await offsetsAt(at, options.to);
            if (at.trouble === null && offset < at.nextOffset)
              moves.push({ ...at, offset });
          }
          await move(moves);
          if (options.json) console.log(JSON.stringify(moves.map(moved)));
        });
      },
    );
  return command;
}

async function withStanding(
  { json }: { json?: true },
  work: (
    tools: Awaited<ReturnType<typeof import("./offsets-standing.js").look>>,
  ) => Promise<void>,
): Promise<void> {
  const { look } = await import("./offsets-standing.js");
  const { loadConfig } = await import("../config.js");
  const tools = await look(loadConfig(process.env), (line) => {
    if (!json) console.log(line);
  });
  try {
    await work(tools);
  } finally {
    await tools.close();
  }
}

const moved = ({ topic, partition, offset }: OffsetMove) => ({
  topic,
  partition,
  begins_at: offset,
});

function standingTable(standing: readonly Standing[]): string {
  if (standing.length === 0) return "no partition was ever claimed";
  const rows = standing.map((at) => [
    `${at.topic}/${at.partition}`,
    at.nextOffset < 0 ? "none" : String(at.nextOffset),
    `${at.low}–${at.high}`,
    String(Math.max(0, at.high - Math.max(at.nextOffset, at.low))),
    `${at.owner ?? "nobody"} (claim ${at.epoch})`,
    at.trouble ?? "",
  ]);
  const head = ["partition", "stored", "log", "lag", "owner", ""];
  return table([head, ...rows]);
}

/** Unix milliseconds; 0 stands for the earliest record. */
function readWhere(text: string): number {
  if (text === "earliest") return 0;
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || !/^\d{4}-\d\d-\d\d/.test(text))
    throw new InvalidArgumentError(
      "must be `earliest` or an ISO 8601 time such as 2026-05-01T12:00:00Z",
    );
  return ms;
}

function readPartition(text: string): number {
  if (!/^\d{1,4}$/.test(text))
    throw new InvalidArgumentError("must be a partition number");
  return Number(text);
}
