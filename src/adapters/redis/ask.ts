/**
 * Questions to Redis, those of one turn of the event loop in one send. At thousands of requests a second a write to the
 * socket for each command, and what ioredis makes for each, cost more than everything else that a small read does.
 */
import type { Redis } from "ioredis";
import { createGatherer } from "./command-buffer.js";
import { type Reply, sendEach } from "./send-batch.js";

/** One command, its name first. Rejects with what Redis answers to it; other questions do not notice. */
export type Ask = (redis: Redis, ...command: string[]) => Promise<Reply>;

interface Question {
  readonly redis: Redis;
  readonly command: readonly string[];
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** For one connection. */
export function createAsk(): Ask {
  const gather = createGatherer();
  const put = perTurn<Question>((questions) => {
    const batch = gather((out) => {
      for (const { command } of questions) {
        out.command(command.length);
        for (const arg of command) out.arg(arg);
      }
    });
    let next = 0;
    sendEach(questions[0]!.redis, batch, {
      resolve: (reply) => questions[next++]!.resolve(reply),
      reject: (error) => questions[next++]!.reject(error),
    });
  });
  return (redis, ...command) =>
    new Promise((resolve, reject) => put({ redis, command, resolve, reject }));
}

/** Gathers what is given during one turn of the event loop, which handles every socket that has something, and hands it on. */
export function perTurn<T>(
  handle: (items: readonly T[]) => void,
): (item: T) => void {
  let waiting: T[] = [];
  const handOn = (): void => {
    const items = waiting;
    waiting = [];
    handle(items);
  };
  return (item) => {
    // Runs once the sockets have been looked at, before Node waits for them again.
    if (waiting.push(item) === 1) setImmediate(handOn);
  };
}
