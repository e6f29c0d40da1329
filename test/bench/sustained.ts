/**
 * MQTT → stored, sustained: the simulator, the broker, bridge, processor and all stores on the same cores. The highest of the
 * rates that is kept up without loss and without growing lag: what was sent is stored within SETTLE_MS of the last message,
 * every reading of it. Then what a message costs of CPU at one rate, in turn with the bare bridge and pipeline.
 *
 *   npm run bench:sustained -- --rates 10000,15000,20000 --seconds 30
 */
import pg from "pg";
import { TOPIC } from "../../src/domain/names.js";
import { runCommand } from "../support/roles.js";
import { until } from "../support/wait.js";
import { committed, connection } from "./frame/backlog.js";
import { runBench } from "./frame/bench.js";
import {
  type Live,
  LIVE_PARTS,
  type LivePart,
  onLiveStack,
} from "./frame/live.js";
import { publish } from "./frame/publish.js";

const GOAL = 15_000;
/** Of the CPU of bridge and processor, by that of the bare ones. */
const FLOOR = 2;
/** A flush interval, a fetch, and what a busy machine adds. */
const SETTLE_MS = 2000;
/** The simulator keeps the rate it was asked for, by and large: otherwise the machine has no more to give. */
const KEPT = 0.97;
const POINTS = 4;

interface Run {
  /** Acknowledged messages a second. */
  readonly rate: number;
  readonly settledMs: number;
}

let runs = 0;

/** Resolves when all that is on the log is stored. */
async function settled(live: Live): Promise<void> {
  const admin = connection(live.stack.env["KAFKA_BROKERS"]!).kafka.admin();
  await admin.connect();
  const end = async () =>
    (await admin.fetchTopicOffsets(TOPIC.data)).reduce(
      (sum, { high }) => sum + Number(high),
      0,
    );
  // Kept by the group from earlier runs, so that both count from the log's beginning.
  await until(
    async () => (await committed(admin, live.group)) >= (await end()),
    {
      withinMs: 120_000,
      everyMs: 50,
      what: "what was sent to be stored",
    },
  );
  await admin.disconnect();
}

/** One run of the simulator at a rate. */
async function simulate(
  live: Live,
  rate: number,
  seconds: number,
): Promise<Run> {
  const { env } = live.stack;
  const prefix = `run${++runs}-`;
  const asked = `simulate --rate ${rate} --duration ${seconds}s --devices 1000 --connections 4 --points ${POINTS} --mix normalised=1 --prefix ${prefix} --json`;
  const simulated = await runCommand(asked.split(" "), env);
  if (simulated.code !== 0) throw new Error(simulated.output);
  const beganMs = performance.now();
  await settled(live);
  const settledMs = performance.now() - beganMs;
  const summary = JSON.parse(simulated.output.trim().split("\n").at(-1)!) as {
    acked: number;
    pointsAcked: number;
    rate: number;
  };
  const db = new pg.Client({ connectionString: env["DATABASE_URL"]! });
  await db.connect();
  const { rows } = await db.query<{ count: string }>(
    `SELECT count(*) FROM store.telemetry_data t JOIN sensors s ON s.id = t.sensor_id JOIN equipments e ON e.id = s.equipment_id
     WHERE e.equip_uuid LIKE $1`,
    [`${prefix}%`],
  );
  await db.end();
  if (Number(rows[0]!.count) !== summary.pointsAcked)
    throw new Error(
      `${rows[0]!.count} of ${summary.pointsAcked} acknowledged readings are stored`,
    );
  return { rate: summary.rate, settledMs };
}

/** Microseconds a message. */
async function costs(
  live: Live,
  rate: number,
  seconds: number,
): Promise<Record<LivePart, number>> {
  // What begins costs more than what goes on.
  await publish(live.stack.env["MQTT_URL"]!, rate, 3);
  await settled(live);
  const before = live.cpu();
  const sent = await publish(live.stack.env["MQTT_URL"]!, rate, seconds);
  await settled(live);
  const after = live.cpu();
  return Object.fromEntries(
    LIVE_PARTS.map((part) => [
      part,
      ((after[part] - before[part]) * 1e6) / sent,
    ]),
  ) as Record<LivePart, number>;
}

await runBench(
  "sustained",
  {
    rates: "2500,5000,10000,15000,17500,20000,25000",
    seconds: "10",
    rate: "3000",
    runs: "2",
  },
  async ({ number, numbers, say, figure }) => {
    const seconds = number("seconds");
    const ours: Record<LivePart, number>[] = [];
    const bare: Record<LivePart, number>[] = [];
    for (let run = 0; run < number("runs"); run++)
      for (const who of ["ours", "bare"] as const) {
        const one = await onLiveStack(who, (live) =>
          costs(live, number("rate"), seconds),
        );
        (who === "ours" ? ours : bare).push(one);
        say(
          `${who}: ${LIVE_PARTS.map((part) => `${part} ${one[part].toFixed(1)}`).join(", ")} µs a message`,
        );
      }
    const both = (one: Readonly<Record<LivePart, number>>) =>
      one.bridge + one.processor;
    const of = `${number("rate").toLocaleString("en")} messages/s`;
    figure({
      of,
      what: "µs of CPU a message, bridge and processor",
      less: true,
      floorRatio: FLOOR,
      runs: ours.map(both),
      bare: bare.map(both),
    });
    for (const part of LIVE_PARTS)
      figure({
        of,
        what: `µs of CPU a message, ${part}`,
        less: true,
        runs: ours.map((one) => one[part]),
        bare: bare.map((one) => one[part]),
      });

    let kept = 0;
    await onLiveStack("ours", async (live) => {
      for (const rate of numbers("rates")) {
        const { rate: reached, settledMs } = await simulate(
          live,
          rate,
          seconds,
        );
        say(
          `${rate}/s: ${Math.round(reached)} acknowledged, all stored ${Math.round(settledMs)} ms after the last`,
        );
        if (settledMs > SETTLE_MS) break;
        kept = Math.max(kept, reached);
        if (reached < rate * KEPT) break;
      }
    });
    // Its floor is that of the CPU above: how much of the machine others leave is not ours.
    figure({
      of: "MQTT → stored, nothing lost, lag not growing",
      what: "messages/s sustained",
      less: false,
      goal: GOAL,
      runs: [kept],
    });
  },
);
