/** Questions to the log that need no consumer group: which cluster, from where to where, and what lies in a range. */
import { setTimeout as pause } from "node:timers/promises";
import type { Admin } from "kafkajs";
import { TwinstreamError } from "../../errors.js";
import type { LogInspector } from "../../ports.js";
import type { LogConnection } from "./connect.js";
import { isMisset, unreachable } from "./failure.js";
import { createRangeReader } from "./range-reader.js";

/** Tries of one question, each with those of its connection, 200 ms doubling between them: about 8 s in all. */
const ATTEMPTS = 4;
const FIRST_DELAY_MS = 200;

/** Every method throws TwinstreamError LOG_UNREACHABLE, `read` also what `each` throws and the signal's reason. */
export function createLogInspector(
  connection: LogConnection,
): LogInspector & { close(): Promise<void> } {
  let admin: Promise<Admin> | null = null;
  const reader = createRangeReader(connection);

  function connected(): Promise<Admin> {
    admin ??= (async () => {
      const fresh = connection.kafka.admin();
      await fresh.connect();
      return fresh;
    })();
    return admin;
  }

  /** Asks again, of a fresh admin client, while a question fails: the broken connection or moved leader is its own. */
  async function ask<T>(
    doing: string,
    question: (client: Admin) => Promise<T>,
  ): Promise<T> {
    for (let failures = 1; ; failures++) {
      try {
        return await question(await connected());
      } catch (error) {
        await letGo();
        if (failures >= ATTEMPTS || isMisset(error))
          throw unreachable(doing, error);
        connection.log("debug", `${doing} failed, asking again`, {
          error: String(error),
        });
        await pause(FIRST_DELAY_MS * 2 ** (failures - 1));
      }
    }
  }

  async function letGo(): Promise<void> {
    const old = admin;
    admin = null;
    try {
      await (await old)?.disconnect();
    } catch (error) {
      connection.log("debug", "an admin client did not disconnect", {
        error: String(error),
      });
    }
  }

  return {
    clusterId: () =>
      ask("asking the log for its cluster id", async (client) => {
        const { clusterId } = await client.describeCluster();
        return clusterId;
      }),

    bounds: (topic) =>
      ask(`asking for the bounds of ${topic}`, async (client) => {
        const offsets = await client.fetchTopicOffsets(topic);
        return byPartition(topic, offsets, ({ low, high }) => ({
          low: Number(low),
          high: Number(high),
        }));
      }),

    offsetsAt: (topic, timestampMs) =>
      ask(`asking ${topic} for offsets at a time`, async (client) => {
        const offsets = await client.fetchTopicOffsetsByTimestamp(
          topic,
          timestampMs,
        );
        return byPartition(topic, offsets, ({ offset }) => Number(offset));
      }),

    committed: (groupId, topic) =>
      ask(
        `asking what ${groupId} has committed of ${topic}`,
        async (client) => {
          const [answer] = await client.fetchOffsets({
            groupId,
            topics: [topic],
          });
          return byPartition(topic, answer?.partitions ?? [], ({ offset }) =>
            Number(offset),
          );
        },
      ),

    read: (range, each, signal) => reader.read(range, each, signal),

    async close() {
      await letGo();
      await reader.close();
    },
  };
}

/** kafkajs answers in any order. */
function byPartition<A extends { partition: number }, T>(
  topic: string,
  answers: readonly A[],
  value: (answer: A) => T,
): T[] {
  const values: T[] = [];
  for (const answer of answers) values[answer.partition] = value(answer);
  for (let p = 0; p < values.length; p++)
    if (!(p in values))
      throw new TwinstreamError(
        "LOG_UNREACHABLE",
        `the log did not answer for partition ${p} of ${topic}`,
      );
  return values;
}
