/** What a watchdog wants to know of a consumer, from kafkajs' instrumentation events. */
import type { Consumer } from "kafkajs";
import type { FeedHealth } from "../../ports.js";

export interface ConsumerWatch {
  /** `lastFetchMs` is of fetches that were answered or failed in a way kafkajs recovers from. */
  health(): FeedHealth;
  /** Settles once joined; rejects when kafkajs gives up before that. Asked anew after a failure, waits for the next join. */
  joined(): Promise<void>;
}

export function watchConsumer(
  consumer: Consumer,
  onCrash: (error: Error) => void,
): ConsumerWatch {
  let lastFetchMs = 0;
  let lastHeartbeatMs = 0;
  let lastJoinMs = 0;
  let crashed: Error | null = null;
  let running = false;
  const waiting = new Set<(error: Error | null) => void>();
  const settle = (error: Error | null) => {
    for (const done of waiting) done(error);
    waiting.clear();
  };

  const { events } = consumer;
  consumer.on(events.FETCH, () => {
    lastFetchMs = Date.now();
  });
  consumer.on(events.HEARTBEAT, () => {
    lastHeartbeatMs = Date.now();
  });
  consumer.on(events.GROUP_JOIN, () => {
    lastJoinMs = lastHeartbeatMs = Date.now();
    running = true;
    settle(null);
  });
  consumer.on(events.STOP, () => {
    running = false;
  });
  consumer.on(events.CRASH, ({ payload: { error, restart } }) => {
    running = false;
    if (restart) return;
    crashed = error;
    settle(error);
    onCrash(error);
  });

  return {
    health: () => ({
      lastFetchMs,
      lastHeartbeatMs,
      lastJoinMs,
      crashed: crashed?.message ?? null,
      running,
    }),
    joined: () =>
      new Promise((resolve, reject) => {
        const done = (error: Error | null) =>
          error ? reject(error) : resolve();
        if (running || crashed) done(crashed);
        else waiting.add(done);
      }),
  };
}
