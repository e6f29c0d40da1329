/**
 * The processor's membership in its consumer group, over kafkajs.
 *
 * What kafkajs does that this file lives with: every rebalance stops all members and goes back to the committed offsets;
 * the partitions that one broker leads are fetched together, and their next fetch waits until the handler has answered
 * for each; heartbeats are sent from within handlers; after a failure of the log the consumer starts again by itself, as
 * a new member; a TypeError out of a handler ends it for good.
 */
import { setTimeout as pause } from "node:timers/promises";
import kafkajs, {
  type Cluster,
  type EachBatchPayload,
  type RetryOptions,
} from "kafkajs";
import { reasonOf } from "../../errors.js";
import type { LaneFeed, LaneFeedHandler } from "../../ports.js";
import { createCommits } from "./commits.js";
import type { LogConnection } from "./connect.js";
import { unreachable } from "./failure.js";
import { watchConsumer } from "./feed-health.js";
import { recordsOf } from "./records.js";
import { stickyAssigner } from "./sticky-assigner.js";

export interface LaneFeedOptions {
  readonly groupId: string;
  /** All with the same number of partitions. */
  readonly topics: readonly string[];
  /** After this long without a heartbeat the group deals a member's partitions to others, milliseconds. */
  readonly sessionTimeoutMs?: number;
  /** How long a rebalance waits for members to leave their handlers, milliseconds. */
  readonly rebalanceTimeoutMs?: number;
  readonly heartbeatMs?: number;
  /** How long a fetch waits for a first record, and so a partition resumed meanwhile for its own, milliseconds. */
  readonly maxWaitMs?: number;
  /** A record larger than that comes alone. */
  readonly maxBytesPerPartition?: number;
  /** Of one fetch over all partitions. */
  readonly maxBytes?: number;
  /** Called when kafkajs has given up and will consume no more. */
  readonly onCrash?: (error: Error) => void;
}

const { KafkaJSError } = kafkajs;
const MIB = 1024 * 1024;
/**
 * Of one fetch and partition. All of a fetch is decoded before any of it is handed over, so that a quiet partition's records
 * wait for those of the busy ones: little of each. A log answers with a first record batch of any size (KIP-74), and kafkajs
 * asks for the partitions in an order that changes, so that a record of 4 MiB gets its turn.
 */
const PARTITION_BYTES = MIB / 4;
/**
 * The least that logs take unless told otherwise: so long the lanes of a process that was killed stand still. Heartbeats go out
 * each second: from a timer of ours while a handler waits, otherwise from kafkajs between fetches, which wait for 100 ms.
 */
const SESSION_MS = 6000;
/**
 * Tries of a join or a fetch before the consumer leaves, connects anew and joins again, by itself. Few, since only that
 * asks anew who leads a partition whose broker is gone; enough for joins that several members make at once.
 */
const RETRY: RetryOptions = {
  initialRetryTime: 100,
  maxRetryTime: 1000,
  retries: 5,
};
/** How long `stop` waits for a join on its way: a consumer stopped before it would join all the same, and stay. */
const STOP_JOIN_MS = 5000;

/**
 * One feed is one membership: started once, stopped once. A handler that answers false has paused the partition or has
 * sought, otherwise it is asked with the same batch at once.
 */
export function createLaneFeed(
  connection: LogConnection,
  options: LaneFeedOptions,
): LaneFeed {
  const { log } = connection;
  const { groupId, topics } = options;
  const heartbeatMs = options.heartbeatMs ?? 1000;

  let handler: LaneFeedHandler | null = null;
  let cluster: Cluster | null = null;
  /** Counts the joins of this feed. */
  let generation = 0;
  /** The group's own count as far as it is known here: exact after a heartbeat, a lower bound before. */
  let groupGeneration = 0;
  let assigned: ReadonlySet<number> = new Set();
  let paused = new Set<number>();
  let stopped = false;
  /** For each batch that the handler has not answered: leaves it, by throwing where there is an error. */
  const unanswered = new Set<(error: Error | null) => void>();

  const assigner = stickyAssigner(() => ({
    generation: groupGeneration,
    partitions: [...assigned],
  }));
  const consumer = connection.ownClient().consumer({
    groupId,
    retry: RETRY,
    allowAutoTopicCreation: false,
    sessionTimeout: options.sessionTimeoutMs ?? SESSION_MS,
    rebalanceTimeout: options.rebalanceTimeoutMs ?? 30_000,
    heartbeatInterval: heartbeatMs,
    maxWaitTimeInMs: options.maxWaitMs ?? 100,
    maxBytesPerPartition: options.maxBytesPerPartition ?? PARTITION_BYTES,
    maxBytes: options.maxBytes ?? 16 * MIB,
    partitionAssigners: [
      (config) => {
        ({ cluster } = config);
        return assigner(config);
      },
    ],
  });
  const commits = createCommits(consumer, log);
  const watch = watchConsumer(consumer, (error) => {
    const reason = reasonOf(error);
    log("error", "the consumer has ended for good", { groupId, reason });
    options.onCrash?.(error);
  });
  consumer.on(consumer.events.HEARTBEAT, ({ payload }) => {
    groupGeneration = payload.groupGenerationId;
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    if (!stopped) joined(Object.values(payload.memberAssignment).flat());
  });

  function joined(numbers: readonly number[]): void {
    generation++;
    groupGeneration++;
    assigned = new Set(numbers.toSorted((a, b) => a - b));
    paused = new Set(assigned);
    commits.keep(assigned);
    // kafkajs keeps pauses over a rebalance and loses them over a restart: said anew at each join.
    consumer.pause(inAllTopics([...assigned]));
    try {
      handler?.assigned(generation, [...assigned]);
    } catch (error) {
      const reason = reasonOf(error);
      log("error", "a lane feed's handler threw at `assigned`", { reason });
    }
  }

  function inAllTopics(partitions: number[]) {
    return topics.map((topic) => ({ topic, partitions }));
  }

  async function eachBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages, highWatermark } = payload.batch;
    const last = messages.at(-1);
    // A pause counts at once, also for what was fetched before it.
    if (!handler || !last || stopped || !assigned.has(partition)) return;
    if (paused.has(partition)) return;
    const current = generation;
    const records = recordsOf(topic, partition, messages);
    const decision = ask(handler, topic, partition, records, +highWatermark);
    const taken = await withHeartbeats(decision, payload);
    // After a rebalance kafkajs counts anew from the committed offset, and the lane seeks.
    if (taken && current === generation) payload.resolveOffset(last.offset);
  }

  /** The handler's answer; false where it throws, which it must not. */
  async function ask(
    of: LaneFeedHandler,
    ...fetched: Parameters<LaneFeedHandler["batch"]>
  ): Promise<boolean> {
    try {
      return await of.batch(...fetched);
    } catch (error) {
      const [topic, partition] = fetched;
      const fields = { topic, partition, reason: reasonOf(error) };
      log("error", "a lane feed's handler threw at `batch`", fields);
      return false;
    }
  }

  /**
   * Waits for the decision, with heartbeats. A rebalance that one of them meets is thrown out of all handlers at once, as
   * kafkajs wants it: the group waits for this member. The decision then falls without anyone listening.
   */
  function withHeartbeats(
    decision: Promise<boolean>,
    payload: EachBatchPayload,
  ): Promise<boolean> {
    return new Promise((resolve, reject) => {
      // kafkajs sends one only when it is due; asked twice as often it is late by half an interval at most.
      const timer = setInterval(() => {
        payload
          .heartbeat()
          .catch((error: unknown) => leaveAll(kafkaError(error)));
      }, heartbeatMs / 2);
      const done = () => {
        clearInterval(timer);
        unanswered.delete(leave);
      };
      const leave = (error: Error | null) => {
        done();
        if (error) reject(error);
        else resolve(false);
      };
      unanswered.add(leave);
      void decision.then((taken) => {
        done();
        resolve(taken);
      });
    });
  }

  function leaveAll(error: Error | null): void {
    for (const leave of unanswered) leave(error);
  }

  /** Runs what kafkajs refuses while it starts again; the join that follows pauses everything anyway. */
  function whenRunning(action: () => void): void {
    if (!stopped && watch.health().running) action();
  }

  return {
    async start(given) {
      handler = given;
      stopped = false;
      try {
        await consumer.connect();
        await consumer.subscribe({ topics: [...topics], fromBeginning: true });
        // A handler for each partition that a member can hold, so that none waits for another's.
        const counts = topics.map(
          (topic) => cluster?.findTopicPartitionMetadata(topic).length ?? 0,
        );
        await consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: counts.reduce((a, b) => a + b, 1),
          eachBatch,
        });
        await watch.joined();
      } catch (error) {
        stopped = true;
        await consumer.disconnect();
        throw unreachable(`joining the consumer group ${groupId}`, error);
      }
    },

    seek(topic, partition, offset) {
      if (!assigned.has(partition)) return;
      whenRunning(() =>
        consumer.seek({ topic, partition, offset: String(offset) }),
      );
    },

    pause(partition) {
      if (!assigned.has(partition)) return;
      paused.add(partition);
      whenRunning(() => consumer.pause(inAllTopics([partition])));
    },

    resume(partition) {
      if (!assigned.has(partition)) return;
      whenRunning(() => {
        paused.delete(partition);
        consumer.resume(inAllTopics([partition]));
      });
    },

    commit: (of, offsets) =>
      commits.commit(
        offsets,
        () => of === generation && !stopped && watch.health().running,
      ),

    async stop() {
      if (!handler) return;
      stopped = true;
      leaveAll(null);
      if (!watch.health().running && watch.health().crashed === null)
        await Promise.race([watch.joined(), pause(STOP_JOIN_MS)]);
      await consumer.disconnect();
    },

    health: () => watch.health(),
  };
}

/** kafkajs tries again after errors of its own, and ends for good after a TypeError. */
function kafkaError(error: unknown): Error {
  return error instanceof KafkaJSError
    ? error
    : new KafkaJSError(reasonOf(error), { retriable: true });
}
