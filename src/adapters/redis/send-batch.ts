/**
 * Sends ready-made bytes over an ioredis connection and gathers the answers. An ioredis pipeline makes an object, closures
 * and three promises for each command; here one object stands in its queue for all of them.
 *
 * Relies on how `Redis.sendCommand` and `DataHandler` of ioredis 6.0.0 (pinned) treat a queued command: they write what
 * `toWritable` returns, put it into `commandQueue`, and call `resolve` or `reject` of what is first there once for each
 * answer. The integration tests hold it to that.
 */
import type { Command, Redis } from "ioredis";
import type { Batch } from "./command-buffer.js";

/** An integer, the bytes of a string or of a double's text, null, or an array of these. */
export type Reply = number | Buffer | null | readonly Reply[];

/** Called once for each command, in their order. */
export interface Answers {
  resolve(reply: Reply): void;
  /** Redis refused this command, or the connection broke before it had answered. */
  reject(error: Error): void;
}

/**
 * The answers, in the order of the commands. Rejects with the first error when any command failed, or the connection broke
 * before all had answered; the others may have taken effect.
 */
export function sendBatch(redis: Redis, batch: Batch): Promise<Reply[]> {
  if (batch.commands === 0) return Promise.resolve([]);
  return new Promise((resolve, reject) => {
    const replies: Reply[] = [];
    let due = batch.commands;
    let failure: Error | null = null;
    const settle = (): void => {
      if (--due > 0) return;
      if (failure === null) resolve(replies);
      else reject(failure);
    };
    sendEach(redis, batch, {
      resolve(reply) {
        replies.push(reply);
        settle();
      },
      reject(error) {
        failure ??= error;
        settle();
      },
    });
  });
}

/** The same, for commands that have nothing to do with each other: one that fails harms no other. */
export function sendEach(redis: Redis, batch: Batch, answers: Answers): void {
  if (batch.commands === 0) return;
  const command = {
    // No command of ioredis' special lists; what it is called shows in traces only.
    name: "evalsha",
    // ioredis hangs these on each error: none, lest a failed batch be kept alive by its errors.
    args: [],
    // Else it would trace, with a closure, each of them.
    isTraced: true,
    setReplyContext: () => undefined,
    toWritable: () => batch.bytes,
    resolve: answers.resolve,
    reject: answers.reject,
  };
  let written = false;
  const stream = {
    isPipeline: true as const,
    destination: { redis },
    write(bytes: Buffer) {
      if (written) return;
      written = true;
      redis.stream.write(bytes);
    },
  };
  redis.sendCommand(command as unknown as Command, stream);
  // What stands in the queue for the first stands there for the others as well: they need not be looked at one by one.
  const { commandQueue } = redis as unknown as Queueing;
  const queued = commandQueue.peekBack();
  for (let i = 1; i < batch.commands; i++)
    if (written) commandQueue.push(queued);
    else redis.sendCommand(command as unknown as Command, stream);
}

/** The part of ioredis' connection that its types do not show. */
interface Queueing {
  readonly commandQueue: { peekBack(): unknown; push(item: unknown): void };
}
