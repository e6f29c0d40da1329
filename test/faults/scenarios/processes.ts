/** The death of our own processes, at random instants, again and again. */
import { killAgain, least, SEEN, stopRole } from "../acts.js";
import { scenarios } from "../scenario.js";

export const PROCESSES = scenarios(
  {
    name: "kill-processor",
    does: "kill -9 of the only processor at random instants, again and again",
    expects:
      "what is behind an offset at the instant of death is stored; the rest is read again and stored once",
    schedule: (draw, { seconds }) =>
      killAgain(draw, ["processor-1"], {
        from: 4,
        to: seconds - 4,
        // A successor waits up to 10 s for the dead one's session to end.
        every: Math.max(6, seconds / 4),
      }),
    missed: least(SEEN.deaths, 1),
  },
  {
    name: "kill-processors-2",
    does: "kill -9 of one of two processors, again and again",
    expects:
      "the other one takes over behind the fence; nothing is lost, doubled or out of order",
    roles: { processor: 2 },
    schedule: (draw, { seconds }) =>
      killAgain(draw, ["processor-1", "processor-2"], {
        from: 4,
        to: seconds - 4,
        every: Math.max(5, seconds / 8),
        down: 2,
      }),
    missed: least(SEEN.deaths, 1),
  },
  {
    name: "rolling-kill-processors-3",
    does: "kill -9 of each of three processors in turn, twice round",
    expects: "the same, while partitions go from hand to hand",
    roles: { processor: 3 },
    schedule: (_draw, { seconds }) => {
      const step = (seconds - 10) / 6;
      return Array.from({ length: 6 }, (_, n) => n).flatMap((n) =>
        killAgain(() => 0, [`processor-${(n % 3) + 1}`], {
          from: 4 + n * step,
          to: 4 + (n + 1) * step,
          every: step,
          down: 1,
        }),
      );
    },
    missed: least(SEEN.deaths, 3),
  },
  {
    name: "rolling-restart",
    does: "SIGTERM of bridge, two processors, gateway and worker in turn, each started again",
    expects: "each ends by itself within 10 s with 0; nothing is lost",
    roles: { processor: 2, gateway: 1, worker: 1 },
    commands: true,
    uploads: true,
    schedule: (_draw, { seconds }) =>
      ["processor-1", "bridge-1", "processor-2", "gateway-1", "worker-1"].map(
        (name, n) => stopRole(name, { at: 4 + (n * (seconds - 10)) / 5 }),
      ),
    missed: least(SEEN.stops, 5),
  },
  {
    name: "kill-bridge",
    does: "kill -9 of the bridge at random instants, again and again",
    expects:
      "what it had not acknowledged comes again from the broker; broker loss is 0",
    schedule: (draw, { seconds }) =>
      killAgain(draw, ["bridge-1"], {
        from: 4,
        to: seconds - 4,
        every: Math.max(4, seconds / 10),
      }),
    missed: least(SEEN.kills, 1),
  },
  {
    name: "kill-gateway-worker",
    does: "kill -9 of one of two gateways or of one of two workers, again and again",
    expects:
      "every upload and every command that got its 202 is stored, and ends, once",
    roles: { gateway: 2, worker: 2 },
    commands: true,
    uploads: true,
    schedule: (draw, { seconds }) =>
      killAgain(draw, ["gateway-1", "gateway-2", "worker-1", "worker-2"], {
        from: 4,
        to: seconds - 4,
        every: Math.max(3, seconds / 14),
        down: 1,
      }),
    missed: least(SEEN.kills, 3),
  },
);
