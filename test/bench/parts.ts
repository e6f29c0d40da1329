/**
 * What supervision, validation and metrics each cost: the drain with a processor that leaves one out, in turn with the whole
 * one. The CPU of a message that is saved without it is what it costs.
 *
 *   npm run bench:parts -- --messages 300000 --runs 5
 */
import { fileURLToPath } from "node:url";
import { runBench } from "./frame/bench.js";
import { type Drained, withBacklog } from "./frame/drained.js";

const PARTS = ["supervision", "validation", "metrics"] as const;
/** Whole by without: a part that costs more than this much of the rest has gone wrong. */
const FLOOR = 1.5;
const rootWithout = (part: string): string =>
  fileURLToPath(new URL(`roots/without-${part}.js`, import.meta.url));

await runBench(
  "parts",
  { devices: "1000", points: "4", messages: "200000", runs: "3" },
  async ({ number, say, figure }) => {
    const backlog = {
      devices: number("devices"),
      points: number("points"),
      messages: number("messages"),
    };
    await withBacklog(backlog, {}, async (drain) => {
      const whole: Drained[] = [];
      const without: Record<(typeof PARTS)[number], Drained[]> = {
        supervision: [],
        validation: [],
        metrics: [],
      };
      for (let run = 0; run < number("runs"); run++) {
        whole.push(await drain({}));
        say(`whole: ${whole.at(-1)!.cpu.process.toFixed(1)} µs a message`);
        for (const part of PARTS) {
          const one = await drain({ script: rootWithout(part) });
          without[part].push(one);
          say(`without ${part}: ${one.cpu.process.toFixed(1)} µs a message`);
          if (one.left !== whole[run]!.left)
            throw new Error(
              `without ${part} another thing is stored:\n${one.left}\n${whole[run]!.left}`,
            );
        }
      }
      for (const part of PARTS)
        figure({
          of: `with and without ${part}`,
          what: "µs of CPU a message, process",
          less: true,
          runs: whole.map(({ cpu }) => cpu.process),
          bare: without[part].map(({ cpu }) => cpu.process),
          floorRatio: FLOOR,
        });
    });
  },
);
