/** What devices do: repeat themselves, mix up the order, send rubbish, shout, come back all at once, have wrong clocks. */
import { partitionOf } from "../../../src/domain/partition.js";
import type { Ground } from "../ground.js";
import { idsIn, type Probe, QUIET_MS, startProbe } from "../probe.js";
import { type LinkApart, openLinkApart } from "../link.js";
import { startLoad } from "../load.js";
import { type Knobs, type Scenario, scenarios } from "../scenario.js";
import type { Backlog } from "../../../src/simulator/fleet.js";
import { read } from "../../../src/simulator/options.js";

const HOUR_US = 3_600_000_000;
const P99 = 0.99;
/** The quiet p99 may double beside what others do. */
const TIMES_QUIET = 2;
/** Below it a p99 is as good as it is promised to be at all (publish to subscriber at 1,000 messages/s), milliseconds. */
const GOOD_MS = 100;

/** What a trial holds between its acts; a scenario may be run again beside itself. */
const kept = new WeakMap<
  Ground["stack"],
  { probe: Probe; fromMs: number; link?: LinkApart }
>();

/**
 * Quiet devices in partitions of which `busy` are under pressure from `fromMs` on: figures, and what is wrong with them. Judged
 * is the way from the bridge on, where partitions are apart; before it all devices share one queue of the broker's.
 */
function comparedWithQuiet(
  ground: Ground,
  busy: (partition: number) => boolean,
): string[] {
  const { probe, fromMs } = kept.get(ground.stack)!;
  const idle = (partition: number): boolean => !busy(partition);
  const toMs = performance.now();
  const wrong: string[] = [];
  for (const way of ["whole", "behind the broker"] as const) {
    const quiet = probe.latency(P99, fromMs - QUIET_MS, fromMs, idle, way);
    const beside = probe.latency(P99, fromMs, toMs, idle, way);
    const within = probe.latency(P99, fromMs, toMs, busy, way);
    ground.figure(`p99 ${way}, before, ms`, quiet ?? "none");
    ground.figure(`p99 ${way}, beside it, ms`, beside ?? "none");
    ground.figure(`p99 ${way}, in its partitions, ms`, within ?? "none");
    if (quiet === null || beside === null) wrong.push("nothing was probed");
    else if (
      way === "behind the broker" &&
      beside > Math.max(TIMES_QUIET * quiet, GOOD_MS)
    )
      wrong.push(
        `p99 of quiet devices in other partitions went from ${quiet} to ${beside} ms`,
      );
  }
  return wrong;
}

/** The hot device's id is the first of the second fleet. */
const HOT = "fault-2-0001";
const HOT_RATE = 500;
const AHEAD = "ahead-";
/** A fleet whose clocks are off by so much, and step in the middle of the load. */
const clock = (
  { seconds, rate, devices }: Omit<Knobs, "seed">,
  byUs: number,
  stepUs: number,
) => ({
  start: Date.now() * 1000 + byUs,
  messages: rate * seconds,
  ...(stepUs === 0
    ? {}
    : {
        backlog: {
          after: Math.floor((seconds / 2) * (rate / devices)),
          turns: 1,
          spanUs: stepUs,
        },
      }),
});
/** Partitions of `iot-data` with a backlog when the fleet comes back: half of them. */
const isLoaded = (partition: number): boolean => partition < 6;
/** Kept messages of a device whose link lets one through every so often, microseconds: 2,500 messages/s from the whole fleet. */
const SLOW = { turns: 30, everyUs: 4_000_000 };
/** Two devices share a connection, which has three sockets in the suite's process: many systems allow it 20,000. */
const BACKLOG = { devices: 10_000, connections: 5000, rate: 1000 };

export const INPUT = scenarios(
  {
    name: "bad-input",
    does: "a fleet with 20 % duplicates, 20 % out of order, 5 % poison",
    expects:
      "each reading is one row, each poison one dead letter for its reason, its neighbours are stored",
    fleet: () => ({ duplicates: 0.2, outOfOrder: 0.2, poison: 0.05 }),
    schedule: () => [],
    missed: (_ground, found) =>
      found.duplicates > 0.15 * found.sent &&
      Object.values(found.deadLettered).reduce((sum, n) => sum + n, 0) >
        0.03 * found.sent
        ? null
        : "there was too little bad input",
  },
  {
    name: "hot-device",
    does: `one device at ${HOT_RATE} messages/s beside 5,000 slow ones`,
    expects:
      "all is stored in order; devices in other partitions keep their p99 within twice the quiet value",
    knobs: { devices: 5000, rate: 1500 },
    async before(ground) {
      const probe = await startProbe(ground);
      kept.set(ground.stack, { probe, fromMs: Infinity });
    },
    schedule: (_draw, { seconds }) => {
      const at = Math.round(seconds / 3);
      return [
        {
          at,
          to: "fleet",
          does: `a device begins to send ${HOT_RATE} messages/s`,
          async run(ground) {
            const load = ground.addFleet({
              devices: 1,
              rate: HOT_RATE,
              messages: HOT_RATE * (seconds - at),
              inFlight: 200,
              outOfOrder: 0,
            });
            await load.reaches(0);
            const { probe } = kept.get(ground.stack)!;
            kept.set(ground.stack, { probe, fromMs: performance.now() });
            ground.count("hot devices");
          },
        },
      ];
    },
    also: async (ground) => {
      const own = partitionOf(HOT, ground.config.IOT_PARTITIONS);
      return comparedWithQuiet(ground, (partition) => partition === own);
    },
    missed: (ground) =>
      ground.counted("hot devices") === 1 ? null : "no device was hot",
  },
  reconnect({
    name: "reconnect",
    does: "as fast as the broker takes them",
    expects:
      "all is stored in order, and they are live again within the drain time; the processors are full: how long quiet devices wait is printed",
    turns: 60,
    everyUs: 0,
  }),
  reconnect({
    name: "reconnect-slow-links",
    does: "one every 4 s",
    expects:
      "all is stored in order; devices in partitions without a backlog keep their p99 within twice the quiet value, the others are live again within the drain time",
    ...SLOW,
  }),
  {
    name: "device-clocks",
    does: "device clocks an hour slow that step to the right time, right ones that step back by an hour, ones an hour and 23 hours ahead, and ones 25 hours ahead",
    expects:
      "what is within 24 h ahead is stored, once, and last state does not freeze; what is beyond is dead-lettered as bad_timestamp",
    knobs: { devices: 400, rate: 1000 },
    fleet: ({ knobs }) => clock(knobs, -HOUR_US, HOUR_US),
    schedule: (_draw, { seconds }) => {
      const knobs = { devices: 200, rate: 300, seconds: seconds - 2 };
      const fleets = [
        { by: 0, step: -HOUR_US, does: "right, and are set back by an hour" },
        { by: HOUR_US, step: 0, does: "an hour ahead" },
        { by: 23 * HOUR_US, step: 0, does: "23 hours ahead" },
      ];
      return [
        ...fleets.map(({ by, step, does }, n) => ({
          at: 1,
          to: `fleet ${n}`,
          does: `devices begin whose clocks are ${does}`,
          async run(ground: Ground) {
            const { devices, rate } = knobs;
            await ground
              .addFleet({ devices, rate, ...clock(knobs, by, step) })
              .reaches(0);
            ground.count("clocks set");
          },
        })),
        {
          at: 1,
          to: "fleet ahead",
          does: "devices begin whose clocks are 25 hours ahead",
          async run(ground: Ground) {
            const load = startLoad(
              {
                devices: 20,
                rate: 50,
                messages: 50 * (seconds - 5),
                start: Date.now() * 1000 + 25 * HOUR_US,
                seed: ground.knobs.seed,
                prefix: AHEAD,
                mix: read.mix("normalised=1"),
                poison: 0,
                duplicates: 0,
              },
              ground.env["MQTT_URL"]!,
            );
            ground.onEnd(() => load.stop());
            const { acked } = await load.ended;
            ground.count("messages 25 hours ahead", acked);
          },
        },
      ];
    },
    async also(ground) {
      const { rows } = await ground.query<{ letters: string; rows: string }>(
        `SELECT (SELECT count(*) FROM ingest_errors WHERE starts_with(device_id, $1) AND reason = 'bad_timestamp') AS letters,
                (SELECT count(*) FROM ts_measure WHERE starts_with(device_id, $1)) AS rows`,
        [AHEAD],
      );
      const sent = ground.counted("messages 25 hours ahead");
      const { letters, rows: stored } = rows[0]!;
      ground.figure("dead-lettered as too far ahead", Number(letters));
      return Number(letters) === sent && Number(stored) === 0
        ? []
        : [
            `of ${sent} messages 25 hours ahead ${letters} are dead letters, and ${stored} rows`,
          ];
    },
    missed: (ground) =>
      ground.counted("clocks set") === 3 ? null : "clocks were not set",
  },
);

/** @param everyUs between two messages of a device, microseconds; 0: all at once, and then the quiet devices' p99 is not judged */
function reconnect({
  name,
  does,
  expects,
  turns,
  everyUs,
}: Pick<Scenario, "name" | "does" | "expects"> &
  Pick<Required<Backlog>, "turns" | "everyUs">): Scenario {
  const { devices, connections, rate } = BACKLOG;
  /** Turns of each device before it is cut off: two, and 15 s at least. */
  const steadyTurns = (knobs: Knobs): number =>
    Math.max(2, Math.ceil((15 * knobs.rate) / knobs.devices));
  return {
    name,
    does: `${devices.toLocaleString("en")} devices of half the partitions are cut off and come back at once, each with ${turns} messages of an hour, ${does}`,
    expects,
    knobs: { devices, rate },
    fleet: ({ stack, knobs, config }) => ({
      mqtt: kept.get(stack)!.link!.url,
      connections: Math.min(connections, knobs.devices),
      yields: true,
      inFlight: 20,
      points: 3,
      outOfOrder: 0,
      backlog: {
        after: steadyTurns(knobs),
        turns,
        spanUs: HOUR_US + turns * everyUs,
        everyUs,
      },
      start: Date.now() * 1000 - HOUR_US,
      messages: knobs.rate * knobs.seconds + knobs.devices * turns,
      ids: idsIn("fault-", knobs.devices, config.IOT_PARTITIONS, isLoaded),
    }),
    deadline: 240,
    async before(ground) {
      const probe = await startProbe(ground);
      const link = await openLinkApart(ground.env["MQTT_URL"]!);
      ground.onEnd(() => link.close());
      kept.set(ground.stack, { probe, fromMs: Infinity, link });
    },
    schedule: (_draw, knobs) => {
      const due = (steadyTurns(knobs) * knobs.devices) / knobs.rate;
      return [
        {
          at: due - 2,
          to: "link",
          does: "every device is cut off, and back 4 s later with what it has kept",
          async run(ground) {
            const link = kept.get(ground.stack)!.link!;
            ground.count("connections cut", await link.cut());
            await ground.load!.reaches(due + 2);
            const { probe } = kept.get(ground.stack)!;
            kept.set(ground.stack, { probe, fromMs: performance.now(), link });
            link.restore();
            ground.note("the devices may come back");
          },
        },
      ];
    },
    async also(ground) {
      const wrong = comparedWithQuiet(ground, isLoaded);
      return everyUs === 0 ? [] : wrong;
    },
    missed: (ground) =>
      ground.counted("connections cut") >=
      Math.min(connections, ground.knobs.devices)
        ? null
        : `only ${ground.counted("connections cut")} connections were cut`,
  };
}
