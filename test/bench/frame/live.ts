/** Bridge and processor with everything they need, or the bare ones in their place, until a first message came through. */
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { withoutJobs } from "../../support/database.js";
import { runCommand, startRole } from "../../support/roles.js";
import { type Stack, withOwnStack } from "../../support/services.js";
import { until } from "../../support/wait.js";
import { payloadOf } from "./backlog.js";
import { BARE } from "./drained.js";
import { cpuSeconds } from "./processes.js";

const BARE_BRIDGE = fileURLToPath(
  new URL("../bare-bridge.js", import.meta.url),
);
export const LIVE_PARTS = [
  "bridge",
  "processor",
  "broker",
  "log",
  "redis",
  "database",
] as const;
export type LivePart = (typeof LIVE_PARTS)[number];
export type Who = "ours" | "bare";

export interface Live {
  readonly stack: Stack;
  /** The processor's consumer group. */
  readonly group: string;
  /** CPU seconds so far. */
  cpu(): Record<LivePart, number>;
}

/** On a stack of its own: neither of the two reads what the other has left. */
export async function onLiveStack<T>(
  who: Who,
  work: (live: Live) => Promise<T>,
): Promise<T> {
  return withOwnStack(["kafka", "redis", "postgres", "mqtt"], async (stack) => {
    const migrated = await runCommand(["migrate"], stack.env);
    if (migrated.code !== 0) throw new Error(migrated.output);
    await withoutJobs(stack.env["DATABASE_URL"]!);
    return during(stack, who, work);
  });
}

async function during<T>(
  stack: Stack,
  who: Who,
  work: (live: Live) => Promise<T>,
): Promise<T> {
  const env = {
    ...stack.env,
    PROCESSOR_GROUP: `bench-${who}`,
    LOG_LEVEL: "warn",
  };
  const bare = who === "bare";
  const processor = await startRole(
    "processor",
    env,
    bare ? { script: BARE } : {},
  );
  const bridge = await startRole(
    "bridge",
    env,
    bare ? { script: BARE_BRIDGE } : {},
  );
  const roots = {
    bridge: bridge.pid,
    processor: processor.pid,
    broker: stack.services.mqtt.pid!,
    log: stack.services.kafka.pid!,
    redis: stack.services.redis.pid!,
    database: stack.services.postgres.pid!,
  };
  try {
    await through(env);
    return await work({
      stack,
      group: env.PROCESSOR_GROUP,
      cpu: () =>
        Object.fromEntries(
          LIVE_PARTS.map((part) => [part, cpuSeconds(roots[part])]),
        ) as Record<LivePart, number>,
    });
  } catch (error) {
    throw new Error(
      [bridge, processor].map((role) => role.output()).join("\n"),
      { cause: error },
    );
  } finally {
    await bridge.stop();
    await processor.stop();
  }
}

/** Resolves when a message that was published is heard from Redis. */
async function through(env: Readonly<Record<string, string>>): Promise<void> {
  const redis = new Redis(env["REDIS_URL"]!);
  const client = await mqtt.connectAsync(env["MQTT_URL"]!);
  let heard = false;
  redis.on("message", () => (heard = true));
  try {
    await redis.subscribe("device-updates:bench-first");
    await until(
      async () => {
        await client.publishAsync(
          "devices/bench-first/data",
          payloadOf(0, 0, 1, Date.now()),
          { qos: 1 },
        );
        return heard;
      },
      { withinMs: 60_000, everyMs: 100, what: "a message to come through" },
    );
  } finally {
    redis.disconnect();
    await client.endAsync();
  }
}
