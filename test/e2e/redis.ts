/** Redis as a dashboard uses it. */
import { Redis } from "ioredis";

type Env = Readonly<Record<string, string>>;

export async function withRedis<T>(
  env: Env,
  work: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = new Redis(env["REDIS_URL"]!);
  try {
    return await work(redis);
  } finally {
    await redis.quit();
  }
}

export interface Listening {
  /** What was published, in order. */
  readonly texts: readonly string[];
  close(): Promise<void>;
}

/** Subscribes to a channel, or to all that a pattern fits. */
export async function listen(env: Env, pattern: string): Promise<Listening> {
  const redis = new Redis(env["REDIS_URL"]!);
  const texts: string[] = [];
  redis.on("pmessage", (_pattern: string, _channel: string, text: string) =>
    texts.push(text),
  );
  await redis.psubscribe(pattern);
  return { texts, close: async () => void (await redis.quit()) };
}
