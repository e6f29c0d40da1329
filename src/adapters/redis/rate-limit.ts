/**
 * Counts of requests, kept in Redis for all gateway processes together, on a connection of their own that fails early. Those
 * of one turn of the event loop count in one send, and those of one key in one command; each still gets a number of its own.
 */
import type { Redis } from "ioredis";
import type { RateCounter } from "../../ports.js";
import { perTurn } from "./ask.js";
import { createGatherer } from "./command-buffer.js";
import { connect } from "./connect.js";
import { HIT } from "./scripts.js";
import { sendEach } from "./send-batch.js";

/** A request waits no longer for a Redis that has stopped answering. */
const SILENCE_MS = 500;
const PREFIX = "twinstream:rate:";

export interface RedisRateCounter extends RateCounter {
  close(): Promise<void>;
}

interface Hit {
  readonly redis: Redis;
  readonly key: string;
  readonly windowMs: number;
  readonly resolve: (counted: { count: number; leftMs: number }) => void;
  readonly reject: (error: Error) => void;
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
  const gather = createGatherer();
  const put = perTurn<Hit>((hits) => {
    const keys = byKey(hits);
    const batch = gather((out) => {
      for (const [{ key, windowMs }, ...more] of keys) {
        out.script(HIT, PREFIX + key, 2);
        out.arg(String(windowMs));
        out.arg(String(1 + more.length));
      }
    });
    let next = 0;
    sendEach(hits[0]!.redis, batch, {
      resolve(reply) {
        const [count, leftMs] = reply as [number, number];
        const same = keys[next++]!;
        for (const [i, hit] of same.entries())
          hit.resolve({ count: count - same.length + 1 + i, leftMs });
      },
      reject(error) {
        for (const hit of keys[next++]!) hit.reject(error);
      },
    });
  });
  return {
    hit: (key, windowMs) =>
      link.run(
        (redis) =>
          new Promise((resolve, reject) =>
            put({ redis, key, windowMs, resolve, reject }),
          ),
      ),
    close: () => link.close(),
  };
}

/** One list for each key and window, in the order in which they came. */
function byKey(hits: readonly Hit[]): [Hit, ...Hit[]][] {
  const lists = new Map<string, [Hit, ...Hit[]]>();
  for (const hit of hits) {
    const name = `${hit.windowMs} ${hit.key}`;
    const list = lists.get(name);
    if (list === undefined) lists.set(name, [hit]);
    else list.push(hit);
  }
  return [...lists.values()];
}
