/** Offsets told to the group, for lag and for people: nothing is decided by them. */
import type { Consumer } from "kafkajs";
import { reasonOf } from "../../errors.js";
import type { LogLine } from "./connect.js";
import { brokerErrorOf, unreachable } from "./failure.js";

export interface PartitionOffset {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface Commits {
  /**
   * One after the other, and only what goes forward; dropped, with a debug line, when `current` says no or the group has
   * moved on. Throws LOG_UNREACHABLE when the log does not answer.
   */
  commit(
    offsets: readonly PartitionOffset[],
    current: () => boolean,
  ): Promise<void>;
  /** Forgets what was committed for other partition numbers: who has them meanwhile may have rewound. */
  keep(partitions: ReadonlySet<number>): void;
}

/** What the broker answers to a commit of a member or generation that is no longer the group's. */
const MOVED_ON = new Set([
  "ILLEGAL_GENERATION",
  "UNKNOWN_MEMBER_ID",
  "REBALANCE_IN_PROGRESS",
  "FENCED_INSTANCE_ID",
]);

export function createCommits(consumer: Consumer, log: LogLine): Commits {
  /** Last committed offset by topic, by partition number. */
  const committed = new Map<string, Map<number, number>>();
  /** Commits that the broker took. kafkajs also resolves without one, once its runner has stopped. */
  let taken = 0;
  let last: Promise<unknown> = Promise.resolve();
  consumer.on(consumer.events.COMMIT_OFFSETS, () => {
    taken++;
  });

  const known = (topic: string) => {
    let offsets = committed.get(topic);
    if (!offsets) committed.set(topic, (offsets = new Map<number, number>()));
    return offsets;
  };

  async function send(
    offsets: readonly PartitionOffset[],
    current: () => boolean,
  ): Promise<void> {
    const forward = offsets.filter(
      ({ topic, partition, offset }) =>
        offset > (known(topic).get(partition) ?? -1),
    );
    if (forward.length === 0) return;
    const drop = (reason: string) =>
      log("debug", "a commit was dropped", { reason, offsets: forward });
    if (!current()) return drop("of an earlier assignment");
    const before = taken;
    try {
      await consumer.commitOffsets(
        forward.map(({ topic, partition, offset }) => ({
          topic,
          partition,
          offset: String(offset),
        })),
      );
    } catch (error) {
      if (MOVED_ON.has(brokerErrorOf(error) ?? "") || !current())
        return drop(reasonOf(error));
      throw unreachable("committing offsets", error);
    }
    if (taken === before) return drop("the consumer has stopped");
    if (!current()) return;
    for (const { topic, partition, offset } of forward)
      known(topic).set(partition, offset);
  }

  return {
    commit(offsets, current) {
      const mine = last.then(() => send(offsets, current));
      // The next one waits for it; whether it failed is told to its own caller.
      last = mine.catch(() => undefined);
      return mine;
    },
    keep(partitions) {
      for (const offsets of committed.values())
        for (const partition of offsets.keys())
          if (!partitions.has(partition)) offsets.delete(partition);
    },
  };
}
