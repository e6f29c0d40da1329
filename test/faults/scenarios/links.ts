/**
 * The links between our roles and each store, broken by a TCP proxy of the suite's own: slow, narrow, in pieces, cut, reset in
 * the middle of what is sent, swallowing everything, half-open; and answers that are lost after what they answer took effect.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../../src/simulator/random.js";
import { startKafkaProxy } from "../../support/kafka-proxy.js";
import type { Stack } from "../../support/services.js";
import {
  startTcpProxy,
  type TcpProxy,
  type Weather,
} from "../../support/tcp-proxy.js";
import { instantIn } from "../acts.js";
import type { Ground } from "../ground.js";
import { type Act, type Scenario, scenarios } from "../scenario.js";

type LinkName = "redis" | "postgres" | "kafka" | "mqtt";

const SETTING: Readonly<Record<LinkName, string>> = {
  redis: "REDIS_URL",
  postgres: "DATABASE_URL",
  kafka: "KAFKA_BROKERS",
  mqtt: "MQTT_URL",
};
const LINK = "the link";
const BROKEN = "connections broken";
const WENT_OFF = "breaks in the middle of a flush";

const proxies = new WeakMap<Stack, TcpProxy>();

const before =
  (name: LinkName): NonNullable<Scenario["prepare"]> =>
  async (stack, onEnd) => {
    const address = stack.env[SETTING[name]]!;
    const proxy = await (name === "kafka"
      ? startKafkaProxy(address)
      : startTcpProxy(address));
    proxies.set(stack, proxy);
    onEnd(() => proxy.close());
    return { [SETTING[name]]: proxy.url };
  };

const proxyOf = ({ stack }: Ground): TcpProxy => proxies.get(stack)!;

function under(weather: Weather, does: string, seconds: number) {
  return (at: number): Act => ({
    at,
    to: LINK,
    does: `${does} for ${seconds} s`,
    async run(ground) {
      ground.note(does);
      proxyOf(ground).weather(weather);
      try {
        await pause(seconds * 1000);
      } finally {
        proxyOf(ground).weather({});
        ground.note("fair weather again");
      }
    },
  });
}

function once(does: string, work: (proxy: TcpProxy) => Promise<void> | void) {
  return (at: number): Act => ({
    at,
    to: LINK,
    does,
    async run(ground) {
      const proxy = proxyOf(ground);
      const { broken } = proxy.counts;
      await work(proxy);
      ground.count(BROKEN, proxy.counts.broken - broken);
      ground.note(`${does}: ${proxy.counts.broken - broken} connections`);
    },
  });
}

/** Resolves when what was planted has gone off, or so many seconds have passed without. */
const withinSeconds = (seconds: number, isDone: () => boolean) =>
  (async () => {
    for (let n = 0; n < seconds * 20 && !isDone(); n++) await pause(50);
  })();

/** Each once, in an order of the seed's. */
const ALL = (seconds: number): ((at: number) => Act)[] => [
  under(
    { delayMs: 300, jitterMs: 200 },
    "answers 300 ms late, give or take 200, each way",
    0.1 * seconds,
  ),
  under({ bytesPerSecond: 16_384 }, "16 KiB a second", 0.08 * seconds),
  under({ pieces: 200 }, "everything in pieces of 200 bytes", 0.08 * seconds),
  under({ swallowed: ["up", "down"] }, "a black hole both ways", 0.2 * seconds),
  under({ swallowed: ["down"] }, "no answer arrives", 0.1 * seconds),
  once("every connection cut", (proxy) => proxy.cut()),
  // Who was not told finds out by its own time-outs and keep-alives.
  once("every connection half-open", async (proxy) => {
    proxy.abandon();
    await withinSeconds(90, () => !proxy.hasAbandoned());
  }),
  once("a reset in the middle of the next 5,000 bytes up", async (proxy) => {
    const { broken } = proxy.counts;
    proxy.resetAfter(5000, "up");
    await withinSeconds(5, () => proxy.counts.broken > broken);
  }),
  once("a reset within the next answer", async (proxy) => {
    const { broken } = proxy.counts;
    proxy.resetAfter(7, "down");
    await withinSeconds(5, () => proxy.counts.broken > broken);
  }),
];

/** Those to one link are done one after the other, each when the one before is over. */
function schedule(draw: Random, { seconds }: { seconds: number }): Act[] {
  const order = ALL(seconds)
    .map((make) => ({ make, by: draw() }))
    .toSorted((a, b) => a.by - b.by);
  const step = (0.9 * seconds) / order.length;
  return order.map(({ make }, n) =>
    make(
      instantIn(
        draw,
        0.05 * seconds + n * step,
        0.05 * seconds + (n + 0.5) * step,
      ),
    ),
  );
}

const broken = (ground: Ground): string | null =>
  ground.counted(BROKEN) >= 3
    ? null
    : `only ${ground.counted(BROKEN)} connections were broken`;

const everything = (
  name: LinkName,
  store: string,
  expects: string,
): Scenario => ({
  name: `link-${name}`,
  does: `the link to ${store} is slow, narrow, in pieces, cut, reset, swallowing and half-open in turn`,
  expects,
  prepare: before(name),
  schedule,
  missed: broken,
  deadline: 180,
});

/** Breaks the link at one place of a flush, again and again; what PostgreSQL is asked goes in the open. */
const inFlushes =
  (
    does: string,
    times: number,
    arm: (proxy: TcpProxy) => Promise<void>,
  ): NonNullable<Scenario["schedule"]> =>
  (_draw, { seconds }) =>
    Array.from({ length: times }, (_, n) => ({
      at: 0.1 * seconds + (n * 0.7 * seconds) / times,
      to: LINK,
      does,
      async run(ground: Ground) {
        const went = await Promise.race([
          arm(proxyOf(ground)).then(() => true),
          pause(10_000, false),
        ]);
        if (went) ground.count(WENT_OFF);
        ground.note(`${does}${went ? "" : ": not within 10 s"}`);
      },
    }));

export const LINKS = scenarios(
  everything(
    "redis",
    "Redis",
    "lanes wait and commit nothing; what was cut off half-way is written again; the view is whole",
  ),
  everything(
    "postgres",
    "the database",
    "time-outs fire, no flush hangs for ever, an unknown outcome is told by the fence",
  ),
  everything(
    "kafka",
    "the log",
    "the bridge withholds PUBACKs, consumers come back or are started again; nothing is lost or doubled",
  ),
  everything(
    "mqtt",
    "the MQTT broker",
    "the bridge resumes its session, acknowledges nothing across a reconnect; what comes again is known",
  ),
  {
    name: "commit-answer-lost",
    does: "the answer to a flush's COMMIT is lost after it took effect, eight times",
    expects: "the next try finds its own offset stored, and goes on after it",
    prepare: before("postgres"),
    schedule: inFlushes("the answer to a COMMIT is lost", 8, (proxy) =>
      proxy.loseAnswerTo("COMMIT"),
    ),
    missed: (ground) =>
      ground.counted(WENT_OFF) >= 3
        ? null
        : `only ${ground.counted(WENT_OFF)} answers were lost`,
  },
  {
    name: "reset-in-copy",
    does: "the connection is reset in the middle of a COPY, eight times",
    expects: "the whole flush is tried again, and stored once",
    prepare: before("postgres"),
    schedule: inFlushes("a reset in the middle of a COPY", 8, (proxy) =>
      proxy.resetWithin("COPY", 2000),
    ),
    missed: (ground) =>
      ground.counted(WENT_OFF) >= 3
        ? null
        : `only ${ground.counted(WENT_OFF)} COPYs were reset`,
  },
);
