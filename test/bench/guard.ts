/**
 * Whether the program has become slower since the kept reference run: messages/s and CPU a message, each by its ratio to the
 * bare pipeline in the same run, against the reference's ratio. Fails when more than 15 % is lost. Never by time: another
 * machine, or a busy one, changes both sides.
 *
 *   npm run bench:guard
 *   npm run bench:guard -- --script dist/test/bench/roots/slowed.js      a processor with a planted slowness: must fail
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { runBench } from "./frame/bench.js";
import { inTurn, withBacklog } from "./frame/drained.js";
import { lossesAgainst } from "./frame/losses.js";
import { judge, type Judged } from "./frame/measured.js";
import type { BenchResult } from "./frame/bench.js";

const REFERENCE = "test/bench/results/drain.json";
const LOSS = 0.15;
/** After a loss it is measured again, since what else a machine does can meet one side more than the other. */
const TRIES = 3;

await runBench(
  "guard",
  {
    devices: "1000",
    points: "4",
    runs: "3",
    messages: "",
    script: "",
    reference: REFERENCE,
  },
  async ({ settings, number, say, figure }) => {
    const kept = JSON.parse(
      readFileSync(settings.reference, "utf8"),
    ) as BenchResult;
    const devices = number("devices");
    const points = number("points");
    const of = `${devices.toLocaleString("en")} devices × ${points} points`;
    // As many as in the reference: a process that has just begun is slower, and both begin anew.
    const messages = Number(settings.messages || kept.settings["messages"]);
    const own =
      settings.script === "" ? {} : { script: resolve(settings.script) };
    await withBacklog({ devices, points, messages }, {}, async (drain) => {
      const ours: Awaited<ReturnType<typeof drain>>[] = [];
      const bare: typeof ours = [];
      let figures: Judged[] = [];
      let losses: string[] = [];
      for (let tries = 1; tries <= TRIES; tries++) {
        const more = await inTurn(drain, number("runs"), own, say);
        ours.push(...more.ours);
        bare.push(...more.bare);
        figures = [
          judge({
            of,
            what: "messages/s",
            less: false,
            runs: ours.map((run) => run.messagesPerSecond),
            bare: bare.map((run) => run.messagesPerSecond),
          }),
          judge({
            of,
            what: "µs of CPU a message, process",
            less: true,
            runs: ours.map(({ cpu }) => cpu.process),
            bare: bare.map(({ cpu }) => cpu.process),
          }),
        ];
        losses = lossesAgainst(kept.figures, figures, LOSS);
        if (losses.length === 0) break;
        say(`${losses.join("; ")}${tries < TRIES ? ": measuring again" : ""}`);
      }
      for (const one of figures) figure(one);
      for (const loss of losses)
        console.error(`guard: ${loss} (reference of commit ${kept.commit})`);
      if (losses.length > 0) process.exitCode = 1;
    });
  },
);
