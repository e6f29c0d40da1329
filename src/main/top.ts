/** `twinstream top`: what is going on, in a terminal. */
import { Command } from "commander";
import { count } from "./arguments.js";

export interface TopOptions {
  readonly interval: number;
  readonly metrics?: string;
  readonly once?: true;
  readonly json?: true;
}

export function topCommand(): Command {
  return new Command("top")
    .description(
      "rates, lag, actors, stores, processes, busiest and slowest devices, as they change",
    )
    .option("--interval <seconds>", "between two looks", count, 2)
    .option(
      "--metrics <urls>",
      "where processes have /metrics, by commas; METRICS_URL, METRICS_URL_BRIDGE, _GATEWAY and _WORKER without it, else METRICS_HOST and METRICS_PORT",
    )
    .option("--once", "look once, print it, and leave")
    .option("--json", "print a line of JSON for each look")
    .addHelpText(
      "after",
      `
Uses KAFKA_BROKERS, REDIS_URL, DATABASE_URL and the processes' /metrics; changes nothing. What does not answer is shown as
away. Leave with q or ctrl-C.

How to read it:
  in, stored        records that came onto the log, and that the processor and workers have stored and committed
  lag               records that are on the log and not stored; one that grows means that something is too slow:
                    STORE shows which, PARTITION whether it is one partition (one device that is too busy) or all
  held              messages that processors have in memory; near INGEST_QUEUE_MAX they wait for a store
  BUSIEST           by a sample of the newest records: the 500 newest of each partition and look
  SLOWEST TO ARRIVE whose readings took longest from their own time to the broker: a device that was offline and sends
                    what it had kept, or one whose clock is wrong (a negative time: it is ahead)

  twinstream top
  (set -a; . .twinstream/stack.env; twinstream top)                       the stack of npm start
  twinstream top --metrics http://p1:9100,http://p2:9100 --interval 5
  twinstream top --once --json | jq '.partitions[] | select(.lag > 1000)'`,
    )
    .action(async (options: TopOptions) => {
      const { run } = await import("./top/run.js");
      await run(options);
    });
}
