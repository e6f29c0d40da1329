/**
 * What supervision, validation, metrics and tracing each cost: the drain with a processor that leaves one out, in turn with the
 * whole one. The CPU of a message that is saved without it is what it costs. Tracing is off unless it is asked for: the whole
 * one is without it, and beside it runs one that sends the spans of a message in a hundred to a collector.
 *
 *   npm run bench:parts -- --messages 300000 --runs 5
 */
import { fileURLToPath } from "node:url";
import { startCollector } from "../support/collector.js";
import { runBench } from "./frame/bench.js";
import { type Drained, withBacklog } from "./frame/drained.js";

const PARTS = ["supervision", "validation", "metrics"] as const;
/** Whole by without: a part that costs more than this much of the rest has gone wrong. */
const FLOOR = 1.5;
/** As TRACE_SAMPLING has it unless it is set. */
const TRACED_EVERY = 100;
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
      tracedEvery: TRACED_EVERY,
    };
    const collector = await startCollector();
    const settings = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    await withBacklog(backlog, {}, async (drain) => {
      const whole: Drained[] = [];
      const without: Record<(typeof PARTS)[number], Drained[]> = {
        supervision: [],
        validation: [],
        metrics: [],
      };
      const traced: Drained[] = [];
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
        traced.push(await drain({ settings }));
        say(`traced: ${traced.at(-1)!.cpu.process.toFixed(1)} µs a message`);
      }
      await collector.close();
      if (collector.spans.length === 0)
        throw new Error("nothing was traced where it was asked for");
      figure({
        of: `with and without tracing of a message in ${TRACED_EVERY}`,
        what: "µs of CPU a message, process",
        less: true,
        runs: traced.map(({ cpu }) => cpu.process),
        bare: whole.map(({ cpu }) => cpu.process),
        floorRatio: FLOOR,
      });
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
