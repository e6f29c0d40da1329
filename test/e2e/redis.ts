/** Redis as a dashboard uses it. */
import { Redis } from "ioredis";
import type { Running } from "../support/fleet.js";

/** A connection that is closed when the test ends. */
export function connectRedis(running: Pick<Running, "env" | "onEnd">): Redis {
  const redis = new Redis(running.env["REDIS_URL"]!);
  running.onEnd(() => redis.quit());
  return redis;
}

/** Subscribes to a channel, or to all that a pattern fits; answers what is published, in order, as it comes. */
export async function listen(
  running: Pick<Running, "env" | "onEnd">,
  pattern: string,
): Promise<readonly string[]> {
  const redis = connectRedis(running);
  const texts: string[] = [];
  redis.on("pmessage", (_pattern: string, _channel: string, text: string) =>
    texts.push(text),
  );
  await redis.psubscribe(pattern);
  return texts;
}
