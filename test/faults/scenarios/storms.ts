/** Processors that come and go, and everything at once. */
import type { Random } from "../../../src/simulator/random.js";
import {
  emptyRedis,
  freezeRole,
  freezeService,
  instantIn,
  killRole,
  killService,
  least,
  lookAtDeath,
  oneOf,
  SEEN,
  stopRole,
} from "../acts.js";
import { type Act, type Knobs, type Scenario, scenarios } from "../scenario.js";

const EVERY_SECONDS = 5;
const PROCESSORS = ["processor-1", "processor-2", "processor-3"];

/** Each 5 s one leaves, by SIGTERM or kill -9, or comes back; one at least stays. */
function storm(draw: Random, { seconds }: Knobs): Act[] {
  const up = new Set(PROCESSORS);
  const acts: Act[] = [];
  for (let at = 4; at <= seconds - 6; at += EVERY_SECONDS) {
    const down = PROCESSORS.filter((name) => !up.has(name));
    const leaves = down.length === 0 || (up.size > 1 && draw() < 0.5);
    const name = oneOf(draw, leaves ? [...up] : down);
    const hard = draw() < 0.5;
    if (leaves) up.delete(name);
    else up.add(name);
    acts.push({
      at,
      to: "group",
      does: leaves
        ? `${name} leaves by ${hard ? "SIGKILL" : "SIGTERM"}`
        : `${name} joins`,
      async run(ground) {
        const { roles, count, note } = ground;
        if (!leaves) await roles.start(name);
        else if (hard) await roles.kill(name);
        else await roles.stop(name);
        if (leaves && hard) await lookAtDeath(ground, name);
        count(SEEN.joins);
        note(leaves ? `${name} left` : `${name} joined`);
      },
    });
  }
  return acts;
}

/** One fault after the other, each chosen and timed by the seed. */
function mixture(draw: Random, { seconds }: Knobs, hardBroker: boolean): Act[] {
  const down = () => instantIn(draw, 1, 4);
  const held = () => instantIn(draw, 5, 15);
  const role = () =>
    oneOf(draw, [
      "processor-1",
      "processor-2",
      "bridge-1",
      "gateway-1",
      "worker-1",
    ]);
  const faults: ((at: number) => Act)[] = [
    (at) => killRole(role(), { at, down: down() }),
    (at) => killRole(role(), { at, down: down() }),
    (at) => stopRole(role(), { at, down: down(), timed: false }),
    (at) => freezeRole(role(), { at, seconds: held() }),
    (at) =>
      killService(oneOf(draw, ["redis", "postgres", "kafka"] as const), {
        at,
        down: down(),
      }),
    (at) =>
      freezeService(oneOf(draw, ["redis", "postgres", "kafka"] as const), {
        at,
        seconds: held(),
      }),
    (at) =>
      killService("redis", {
        at,
        down: down(),
        meanwhile: emptyRedis,
        what: "all its data removed",
      }),
    ...(hardBroker
      ? [(at: number) => killService("mqtt", { at, down: down() })]
      : []),
  ];
  const acts: Act[] = [];
  for (let at = 4; at < seconds - 8; at += instantIn(draw, 3, 8))
    acts.push(oneOf(draw, faults)(Math.round(at * 10) / 10));
  return acts;
}

const mixed = (name: string, more: Partial<Scenario> = {}): Scenario => ({
  name,
  does: "faults of roles and services drawn by the seed, one after the other and over each other",
  expects: "nothing lost, doubled or out of order; every 202 is kept",
  roles: { processor: 2, gateway: 1, worker: 1 },
  commands: true,
  uploads: true,
  deadline: 180,
  schedule: (draw, knobs) => mixture(draw, knobs, false),
  missed: (ground) =>
    [SEEN.kills, SEEN.stops, SEEN.frozen].some(
      (what) => ground.counted(what) > 0,
    )
      ? null
      : "no fault was made",
  ...more,
});

export const STORMS = scenarios(
  {
    name: "rebalance-storm",
    does: `a processor joins or leaves every ${EVERY_SECONDS} s`,
    expects:
      "progress goes on, no partition is worked on by two at once, nothing is lost or doubled",
    roles: { processor: 3 },
    schedule: storm,
    missed: least(SEEN.joins, 3),
  },
  mixed("mixture-1"),
  mixed("mixture-2"),
  mixed("mixture-with-broker", {
    does: "the same, and the MQTT broker dies too",
    brokerLoss: "stated",
    schedule: (draw, knobs) => mixture(draw, knobs, true),
  }),
);
