/**
 * How the drain grows with partitions and with a second processor: the same backlog on logs of one and more partitions,
 * worked off by one process and by two. On two cores that also run the services a second process has no core of its own.
 *
 *   npm run bench:partitions -- --partitions 1,2,4,12 --runs 3
 */
import { runBench } from "./frame/bench.js";
import { type Drained, withBacklog } from "./frame/drained.js";

/** Of messages/s with one process, on however many cores: a second one that halves the whole has gone wrong. */
const FLOOR = 0.5;

await runBench(
  "partitions",
  { partitions: "1,4,12", devices: "1000", messages: "200000", runs: "3" },
  async ({ number, numbers, say, figure }) => {
    const backlog = {
      devices: number("devices"),
      points: 4,
      messages: number("messages"),
    };
    for (const partitions of numbers("partitions"))
      await withBacklog(
        backlog,
        { IOT_PARTITIONS: String(partitions) },
        async (drain) => {
          const one: Drained[] = [];
          const two: Drained[] = [];
          for (let run = 0; run < number("runs"); run++) {
            one.push(await drain({}));
            if (partitions > 1) two.push(await drain({ processes: 2 }));
            say(
              `${partitions} partitions: ${[one, two].map((list) => Math.round(list.at(-1)?.messagesPerSecond ?? 0)).join(" and ")} messages/s`,
            );
          }
          const rates = (list: readonly Drained[]) =>
            list.map((run) => run.messagesPerSecond);
          const of = `${partitions} partitions`;
          const what = "messages/s";
          figure({
            of: `${of}, one process`,
            what,
            less: false,
            runs: rates(one),
          });
          if (partitions === 1) return;
          figure({
            of: `${of}, two processes by one`,
            what,
            less: false,
            runs: rates(two),
            bare: rates(one),
            floorRatio: FLOOR,
          });
        },
      );
  },
);
