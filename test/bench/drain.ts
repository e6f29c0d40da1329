/**
 * How fast a processor works off a backlog: messages waiting on the log → rows committed, Redis written, offsets committed. In
 * turn with the bare pipeline over the same messages; after each run both must have left the same rows and keys.
 *
 *   npm run bench:drain
 *   npm run bench:drain -- --devices 1000 --points 4 --messages 300000 --runs 5
 *   npm run bench:drain -- --devices 1000 --points 4 --runs 1 --node --cpu-prof       options of Node for the processor
 */
import { runBench } from "./frame/bench.js";
import { inTurn, PARTS, withBacklog } from "./frame/drained.js";

/** At 4 points a message. The floor holds on a machine that does other things too, the goal on the reference machine. */
const GOALS: Readonly<
  Record<number, { goalRatio: number; goal?: number; floorRatio: number }>
> = {
  1000: { goalRatio: 0.9, goal: 50_000, floorRatio: 0.75 },
  100_000: { goalRatio: 0.85, floorRatio: 0.7 },
};
/** Of the other cases, which no goal was set for. */
const FLOOR = 0.6;
/** Of a backlog, so that many points a message do not make it last long. */
const MOST_POINTS = 1_200_000;

await runBench(
  "drain",
  {
    devices: "1000,10000,100000",
    points: "1,4,20",
    messages: "300000",
    runs: "3",
    node: "",
  },
  async ({ settings, number, numbers, say, figure }) => {
    const cases = numbers("devices").flatMap((devices) =>
      numbers("points").map((points) => ({ devices, points })),
    );
    const node = settings.node === "" ? [] : settings.node.split(" ");
    for (const { devices, points } of cases) {
      const most = Math.max(devices, Math.floor(MOST_POINTS / points));
      const messages = Math.min(number("messages"), most);
      const of = `${devices.toLocaleString("en")} devices × ${points} points`;
      say(`${of}: ${messages.toLocaleString("en")} messages`);
      await withBacklog(
        { devices, points, messages },
        {},
        async (drain, bytes) => {
          const { ours, bare } = await inTurn(
            drain,
            number("runs"),
            { node },
            say,
          );
          figure({
            of,
            what: "messages/s",
            less: false,
            runs: ours.map((run) => run.messagesPerSecond),
            bare: bare.map((run) => run.messagesPerSecond),
            floorRatio: FLOOR,
            ...(points === 4 ? GOALS[devices] : {}),
          });
          figure({
            of,
            what: "points/s",
            less: false,
            runs: ours.map((run) => run.messagesPerSecond * points),
          });
          for (const part of PARTS)
            figure({
              of,
              what: `µs of CPU a message, ${part}`,
              less: true,
              runs: ours.map(({ cpu }) => cpu[part]),
              bare: bare.map(({ cpu }) => cpu[part]),
            });
          figure({
            of,
            what: "MiB at most",
            less: true,
            runs: ours.map((run) => run.peakMib),
            bare: bare.map((run) => run.peakMib),
          });
          figure({
            of,
            what: "bytes a record",
            less: true,
            runs: [bytes / messages],
          });
        },
      );
    }
  },
);
