/** `twinstream log`: what is on the log, for those without Redpanda Console. */
import { Command, InvalidArgumentError } from "commander";
import { TOPIC } from "../domain/names.js";
import { parseTime } from "../domain/time.js";
import { count } from "./arguments.js";

/** Where `tail` begins. */
export type TailStart =
  | { readonly at: "newest" | "earliest" | "latest" }
  | { readonly at: "offset"; readonly offset: number }
  | { readonly at: "time"; readonly ms: number };

export interface TailOptions {
  readonly topic: string;
  readonly partition?: number;
  readonly key?: string;
  readonly from: TailStart;
  readonly follow?: true;
  readonly limit?: number;
  readonly json?: true;
}

const HELP = `
Topics: ${Object.values(TOPIC).join(", ")}.
Groups: twinstream-processor (iot-data and device-commands → Redis and database), twinstream-worker (telemetry.raw → rows).
A record's key is its device's address: the id, or tenant/id where the tenant is not \`default\`.
Uses KAFKA_BROKERS; reads outside of all groups, and changes nothing.

  twinstream log topics                                    partitions, records, how long they are kept
  twinstream log groups                                    who works on which partition, and how far behind it is
  twinstream log tail                                      the 10 newest records of iot-data
  twinstream log tail --key acme/press-7 --follow          one device, while it speaks
  twinstream log tail --topic iot-data.dlq --limit 3       the newest dead letters, with their reasons in the headers
  twinstream log tail --partition 3 --from 120 --limit 5   five records from an offset on
  twinstream log tail --from 2026-05-01T12:00:00Z --json | jq .value`;

export function logCommand(): Command {
  const command = new Command("log")
    .description("topics, groups and records of the log")
    .addHelpText("after", HELP);
  command
    .command("topics")
    .description("each topic's partitions, records and retention")
    .option("--partitions", "a line for each partition")
    .option("--json", "print one JSON array")
    .action(async (options: { partitions?: true; json?: true }) => {
      const { showTopics } = await import("./log-survey.js");
      await showTopics(options);
    });
  command
    .command("groups")
    .description("each consumer group's members, and its lag by partition")
    .argument("[group]", "this one alone")
    .option("--json", "print one JSON array")
    .action(async (group: string | undefined, options: { json?: true }) => {
      const { showGroups } = await import("./log-survey.js");
      await showGroups(group, options);
    });
  command
    .command("tail")
    .description("records with their keys, headers and values")
    .option("--topic <topic>", "of this topic", TOPIC.data)
    .option("--partition <n>", "of this partition alone", partition)
    .option("--key <key>", "of this key alone")
    .option(
      "--from <where>",
      "`newest` (the last ones), `earliest`, `latest` (what comes from now on), an offset, or an ISO 8601 time of the log",
      start,
      { at: "newest" },
    )
    .option("--follow", "go on with what comes, until ctrl-C")
    .option(
      "--limit <n>",
      "records at most; 10 when not given, without --follow",
      count,
    )
    .option("--json", "print a line of JSON for each")
    .action(async (options: TailOptions) => {
      const { tail } = await import("./log-tail.js");
      await tail(options);
    });
  return command;
}

function partition(text: string): number {
  if (!/^\d{1,4}$/.test(text))
    throw new InvalidArgumentError("must be a partition number");
  return Number(text);
}

function start(text: string): TailStart {
  if (text === "newest" || text === "earliest" || text === "latest")
    return { at: text };
  if (/^\d{1,15}$/.test(text)) return { at: "offset", offset: Number(text) };
  const us = /^\d{4}-/.test(text) ? parseTime(text) : Number.NaN;
  if (Number.isNaN(us))
    throw new InvalidArgumentError(
      "must be newest, earliest, latest, an offset, or a time such as 2026-05-01T12:00:00Z",
    );
  return { at: "time", ms: us / 1000 };
}
