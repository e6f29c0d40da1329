/** Counts of requests, kept in Redis for all gateway processes together, on a connection of their own that fails early. */
import type { RateCounter } from "../../ports.js";
import { connect } from "./connect.js";

/** A request waits no longer for a Redis that has stopped answering. */
const SILENCE_MS = 500;
const PREFIX = "twinstream:rate:";

/** KEYS[1] the key; ARGV[1] the window in milliseconds. Answers the count and the milliseconds left. */
const HIT = `
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}`;

export interface RedisRateCounter extends RateCounter {
  close(): Promise<void>;
}

/** Starts to connect and returns at once. `hit` throws VIEW_UNREACHABLE without a connection. */
export function createRateCounter(options: {
  readonly url: string;
}): RedisRateCounter {
  const link = connect({
    ...options,
    name: "twinstream rate limits",
    silenceMs: SILENCE_MS,
  });
  return {
    async hit(key, windowMs) {
      const [count, leftMs] = await link.run(
        (redis) =>
          redis.eval(HIT, 1, PREFIX + key, windowMs) as Promise<
            [number, number]
          >,
      );
      return { count, leftMs };
    },
    close: () => link.close(),
  };
}
