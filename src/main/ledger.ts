/** `twinstream ledger`: whether everything on the log is in the database. */
import { Command, InvalidArgumentError } from "commander";
import { parseTime } from "../domain/time.js";

/** A range as it was asked for; offsets [from, to). */
export interface AskedRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

export interface VerifyOptions {
  /** Unix milliseconds. */
  readonly since?: number;
  readonly offsets?: readonly AskedRange[];
  readonly partition?: number;
  readonly limit: number;
  readonly json?: true;
}

const MILLISECONDS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function ledgerCommand(): Command {
  const command = new Command("ledger")
    .description("hold the log against the database")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  command
    .command("verify")
    .description(
      "decode records again and look for every reading's row, value included, or its dead letter",
    )
    .option(
      "--since <when>",
      "records from this log time on: ISO 8601, or how long ago, such as 90m, 24h, 7d",
      readSince,
    )
    .option(
      "--offsets <range...>",
      "topic/partition:first-last, both included; the last may be left out",
      (text: string, before: readonly AskedRange[] | undefined) => [
        ...(before ?? []),
        readRange(text),
      ],
    )
    .option("--partition <n>", "only partitions of this number", readPartition)
    .option(
      "--limit <n>",
      "differences to print at most; all are counted",
      readLimit,
      1000,
    )
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Uses KAFKA_BROKERS and DATABASE_URL and changes nothing. Without --since or --offsets everything that the log still has is
checked. Every record is exactly one of stored, duplicate, noted (hello, state, bulk note), dead-lettered, in flight, or
lost to retention; every reading stored, duplicate, conflict or refused. What is neither is a difference, printed with its
offset. Records that came after the stored offset are in flight: run it again later.

  twinstream ledger verify --since 1h
  twinstream ledger verify --offsets iot-data/3:100-200 --json
  twinstream explain DEVICE --point NAME --at TIME      one reading's road

Exit codes: 0 no difference, 1 differences or a failure, 2 bad arguments or settings.`,
    )
    .action(async (options: VerifyOptions, self: Command) => {
      if (options.offsets !== undefined && options.since !== undefined)
        self.error("error: give --since or --offsets, not both");
      if (options.offsets !== undefined && options.partition !== undefined)
        self.error("error: --offsets names its partition itself");
      const { verify } = await import("./ledger-verify.js");
      const { loadConfig } = await import("../config.js");
      const found = await verify(loadConfig(process.env), options);
      if (found > 0) process.exitCode = 1;
    });
  return command;
}

function readSince(text: string): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  if (ago !== null) {
    const unit = ago[2] as keyof typeof MILLISECONDS;
    return Date.now() - Number(ago[1]) * MILLISECONDS[unit];
  }
  const us = parseTime(text);
  if (Number.isNaN(us))
    throw new InvalidArgumentError(
      "must be an ISO 8601 time such as 2026-05-01T12:00:00Z, or 90m, 24h, 7d",
    );
  return Math.floor(us / 1000);
}

function readRange(text: string): AskedRange {
  const parts =
    /^(iot-data|device-commands)\/(\d{1,6}):(\d{1,15})(-(\d{1,15})?)?$/.exec(
      text,
    );
  const [, topic, partition, first, open, last] = parts ?? [];
  const from = Number(first);
  const to =
    last !== undefined ? Number(last) + 1 : open === "-" ? Infinity : from + 1;
  if (topic === undefined || to <= from)
    throw new InvalidArgumentError(
      "must be such as iot-data/3:100-200, iot-data/3:100- or device-commands/0:7",
    );
  return { topic, partition: Number(partition), from, to };
}

function readPartition(text: string): number {
  if (!/^\d{1,4}$/.test(text))
    throw new InvalidArgumentError("must be a partition number");
  return Number(text);
}

function readLimit(text: string): number {
  if (!/^\d{1,7}$/.test(text))
    throw new InvalidArgumentError("must be a whole number");
  return Number(text);
}
