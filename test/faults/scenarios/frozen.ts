/** SIGSTOP and SIGCONT: nothing is closed, nothing answers, and then it goes on as if no time had passed. */
import type { Random } from "../../../src/simulator/random.js";
import {
  freezeRole,
  freezeService,
  instantIn,
  least,
  SEEN,
  type Service,
} from "../acts.js";
import { type Knobs, type Scenario, scenarios } from "../scenario.js";

/** Longer than the consumer group's session (10 s) and than the MQTT keep-alive. */
const LONG_SECONDS = 25;
const SHORT_SECONDS = 5;

const early = (draw: Random, { seconds }: Knobs): number =>
  instantIn(draw, 0.15 * seconds, 0.25 * seconds);
const late = (draw: Random, { seconds }: Knobs): number =>
  instantIn(draw, 0.75 * seconds, 0.85 * seconds);

/** Frozen for longer than sessions last, and once more for a moment. */
const frozenService = (
  name: Service,
  more: Partial<Scenario> = {},
): Scenario => ({
  name: `freeze-${name}`,
  does: `SIGSTOP of ${name} for ${LONG_SECONDS} s, and for ${SHORT_SECONDS} s`,
  expects: "all wait with flat memory, and go on; nothing is lost or doubled",
  schedule: (draw, knobs) => [
    freezeService(name, { at: early(draw, knobs), seconds: LONG_SECONDS }),
    freezeService(name, { at: late(draw, knobs), seconds: SHORT_SECONDS }),
  ],
  missed: (ground) =>
    ground.eyes.longestStall(0, performance.now()) > 0
      ? null
      : "nothing stood still",
  ...more,
});

export const FROZEN = scenarios(
  {
    name: "freeze-processor",
    does: `SIGSTOP of one of two processors for ${LONG_SECONDS} s: the other takes its partitions; then it wakes up as their owner`,
    expects:
      "the zombie is fenced out: it moves no offset, and neither rows nor last states go back",
    roles: { processor: 2 },
    schedule: (draw, knobs) => [
      freezeRole("processor-1", {
        at: early(draw, knobs),
        seconds: LONG_SECONDS,
      }),
      freezeRole("processor-2", {
        at: late(draw, knobs),
        seconds: SHORT_SECONDS,
      }),
    ],
    missed: least(SEEN.frozen, 2),
  },
  {
    name: "freeze-bridge",
    does: `SIGSTOP of the bridge for 40 s, longer than its keep-alive, and for ${SHORT_SECONDS} s`,
    expects:
      "the broker keeps what comes meanwhile; the session is taken up again",
    schedule: (draw, knobs) => [
      freezeRole("bridge-1", { at: early(draw, knobs), seconds: 40 }),
      freezeRole("bridge-1", {
        at: late(draw, knobs) + 5,
        seconds: SHORT_SECONDS,
      }),
    ],
    knobs: { seconds: 75 },
    missed: least(SEEN.frozen, 2),
  },
  {
    name: "freeze-gateway-worker",
    does: `SIGSTOP of the gateway, and of one of two workers for ${LONG_SECONDS} s`,
    expects:
      "the other worker takes over, the zombie is fenced out; every 202 is kept",
    roles: { gateway: 1, worker: 2 },
    commands: true,
    uploads: true,
    schedule: (draw, knobs) => [
      freezeRole("worker-1", {
        at: early(draw, knobs),
        seconds: LONG_SECONDS,
      }),
      freezeRole("gateway-1", {
        at: late(draw, knobs),
        seconds: SHORT_SECONDS,
      }),
    ],
    missed: least(SEEN.frozen, 2),
  },
  frozenService("kafka"),
  frozenService("redis"),
  frozenService("postgres"),
  frozenService("mqtt", {
    expects:
      "devices and bridge wait or connect again; broker loss is 0, for nothing died",
  }),
  frozenService("minio", {
    services: ["minio"],
    roles: { gateway: 1, worker: 1 },
    uploads: true,
    missed: least(SEEN.frozen, 2),
  }),
);
