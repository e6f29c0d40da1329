/**
 * The log in memory: writer, inspector and consumer group with the behaviour of the Kafka adapter, proved by the same
 * conformance suite. A lane feed delivers at most one batch a partition at a time, from `setImmediate`, so that a test
 * can wait for what it causes; rebalances happen within `start` and `stop` of the members.
 */
import { Partitioners } from "kafkajs";
import { dealPartitions } from "../../src/adapters/kafka/sticky-assigner.js";
import type { LogRecord } from "../../src/domain/message.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  Clock,
  LaneFeed,
  LaneFeedHandler,
  LogInspector,
  LogWriter,
  OutgoingRecord,
} from "../../src/ports.js";

export interface MemoryLogOptions {
  /** Of every topic; a topic is there once it is named. */
  readonly partitions?: number;
  readonly clusterId?: string;
  readonly now?: Clock;
  /** Records of a fetched batch, at most. */
  readonly batchRecords?: number;
}

export interface MemoryLog {
  readonly writer: LogWriter;
  readonly inspector: LogInspector;
  /** A member, not yet joined, of a consumer group over these topics. */
  feed(group: string, topics: readonly string[]): LaneFeed;
  /** The next `count` appends fail with LOG_UNREACHABLE; `written`: after they took effect, as if their answer was lost. */
  failAppend(count: number, options?: { written?: boolean }): void;
  /** Lets everything before an offset go, as retention does. */
  truncate(topic: string, partition: number, before: number): void;
  /** What the group was told; null when nothing was. */
  committed(group: string, topic: string, partition: number): number | null;
  /** What lies on a partition. */
  records(topic: string, partition: number): readonly LogRecord[];
}

interface Partition {
  low: number;
  /** By offset; those below `low` are gone for readers. */
  readonly records: LogRecord[];
}
interface Member {
  readonly id: string;
  readonly topics: readonly string[];
  readonly handler: LaneFeedHandler;
  generation: number;
  assigned: ReadonlySet<number>;
  paused: Set<number>;
  /** By `topic/partition`. */
  position: Map<string, number>;
  busy: Set<string>;
  sought: Set<string>;
}
interface Group {
  members: Member[];
  generation: number;
  readonly committed: Map<string, number>;
}

const keyOf = (topic: string, partition: number) => `${topic}/${partition}`;

export function createMemoryLog(options: MemoryLogOptions = {}): MemoryLog {
  const count = options.partitions ?? 4;
  const now = options.now ?? Date.now;
  const batchRecords = options.batchRecords ?? 500;
  const topics = new Map<string, Partition[]>();
  const groups = new Map<string, Group>();
  const partitioner = Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({
    partitionErrorCode: 0,
    partitionId,
    leader: 0,
    replicas: [0],
    isr: [0],
  }));
  let failing = 0;
  let failingWritten = false;
  let joins = 0;

  function topicOf(topic: string): Partition[] {
    let partitions = topics.get(topic);
    if (!partitions) {
      partitions = partitionMetadata.map(() => ({ low: 0, records: [] }));
      topics.set(topic, partitions);
    }
    return partitions;
  }
  function partitionOf(topic: string, partition: number): Partition {
    const found = topicOf(topic)[partition];
    if (!found)
      throw new TwinstreamError(
        "LOG_UNREACHABLE",
        `${topic} has no partition ${partition}`,
      );
    return found;
  }

  function write(topic: string, record: OutgoingRecord): void {
    const { key, value, headers = {}, partition: wanted } = record;
    const message = {
      key,
      value,
      headers,
      ...(wanted !== undefined && { partition: wanted }),
    };
    const partition = partitioner({ topic, partitionMetadata, message });
    const { records } = partitionOf(topic, partition);
    records.push({
      topic,
      partition,
      offset: records.length,
      key: key === null ? null : Buffer.from(key),
      value,
      headers,
      timestampMs: now(),
    });
    for (const group of groups.values())
      for (const member of group.members) pump(group, member, topic, partition);
  }

  const writer: LogWriter = {
    append: async (topic, records) => {
      const fails = failing > 0;
      if (fails) failing--;
      if (!fails || failingWritten)
        for (const record of records) write(topic, record);
      if (fails)
        throw new TwinstreamError(
          "LOG_UNREACHABLE",
          "told to fail this append",
        );
    },
  };

  const inspector: LogInspector = {
    clusterId: async () => options.clusterId ?? "memory",
    bounds: async (topic) =>
      topicOf(topic).map(({ low, records }) => ({ low, high: records.length })),
    offsetsAt: async (topic, timestampMs) =>
      topicOf(topic).map(({ low, records }) => {
        const at = records.findIndex(
          (record) => record.offset >= low && record.timestampMs >= timestampMs,
        );
        return at < 0 ? records.length : at;
      }),
    committed: async (name, topic) =>
      topicOf(topic).map(
        (_, partition) =>
          groupOf(name).committed.get(keyOf(topic, partition)) ?? -1,
      ),
    read: async ({ topic, partition, from, to }, each, signal) => {
      signal.throwIfAborted();
      const log = partitionOf(topic, partition);
      const end = Math.min(to, log.records.length);
      for (let at = from; ; at += batchRecords) {
        at = Math.max(at, log.low);
        if (at >= end) return;
        await each(log.records.slice(at, Math.min(end, at + batchRecords)));
        signal.throwIfAborted();
      }
    },
  };

  function groupOf(name: string): Group {
    let group = groups.get(name);
    if (!group) {
      group = { members: [], generation: 0, committed: new Map() };
      groups.set(name, group);
    }
    return group;
  }

  /** Deals the partitions anew; whatever is being handled counts for nothing from here on. */
  function rebalance(group: Group): void {
    if (group.members.length === 0) return;
    group.generation++;
    const dealt = dealPartitions(
      group.members.map(({ id, generation, assigned }) => ({
        id,
        generation,
        partitions: [...assigned],
      })),
      count,
    );
    for (const member of group.members) {
      member.generation = group.generation;
      member.assigned = new Set(dealt.get(member.id));
      member.paused = new Set(member.assigned);
      member.position = new Map();
      member.busy = new Set();
      member.sought = new Set();
    }
    for (const { handler, generation, assigned } of group.members)
      handler.assigned(generation, [...assigned]);
  }

  /** Delivers what a partition holds, if it is this member's, runs, and has no batch in hand. */
  function pump(
    group: Group,
    member: Member,
    topic: string,
    partition: number,
  ): void {
    const key = keyOf(topic, partition);
    const { generation, handler } = member;
    const may = () =>
      group.members.includes(member) &&
      member.generation === generation &&
      member.topics.includes(topic) &&
      member.assigned.has(partition) &&
      !member.paused.has(partition);
    if (!may() || member.busy.has(key)) return;
    member.busy.add(key);
    setImmediate(() => void deliver());

    async function deliver(): Promise<void> {
      const { low, records } = partitionOf(topic, partition);
      let at = member.position.get(key) ?? group.committed.get(key) ?? low;
      // Out of range: a Kafka consumer goes on at the default offset, here the earliest.
      if (at < low || at > records.length) at = low;
      const batch = may() ? records.slice(at, at + batchRecords) : [];
      let taken = false;
      member.sought.delete(key);
      if (batch.length > 0) {
        const high = records.length;
        taken = await handler.batch(topic, partition, batch, high);
      }
      if (member.generation !== generation) return;
      member.busy.delete(key);
      if (taken && !member.sought.has(key))
        member.position.set(key, at + batch.length);
      const next = member.position.get(key) ?? at;
      if (batch.length > 0 || next < low)
        if (next !== records.length) pump(group, member, topic, partition);
    }
  }

  function feed(name: string, names: readonly string[]): LaneFeed {
    const group = groupOf(name);
    let member: Member | null = null;
    let joinedMs = 0;
    const pumpAll = (partition: number) => {
      for (const topic of names)
        if (member) pump(group, member, topic, partition);
    };
    return {
      start: async (handler) => {
        member = {
          id: `member-${String(++joins).padStart(4, "0")}`,
          topics: names,
          handler,
          generation: 0,
          assigned: new Set(),
          paused: new Set(),
          position: new Map(),
          busy: new Set(),
          sought: new Set(),
        };
        joinedMs = now();
        group.members.push(member);
        rebalance(group);
      },
      seek(topic, partition, offset) {
        if (!member?.assigned.has(partition)) return;
        member.position.set(keyOf(topic, partition), offset);
        member.sought.add(keyOf(topic, partition));
        pump(group, member, topic, partition);
      },
      pause(partition) {
        if (member?.assigned.has(partition)) member.paused.add(partition);
      },
      resume(partition) {
        member?.paused.delete(partition);
        pumpAll(partition);
      },
      commit: async (generation, offsets) => {
        if (!member || generation !== member.generation) return;
        for (const { topic, partition, offset } of offsets) {
          const key = keyOf(topic, partition);
          if (offset > (group.committed.get(key) ?? -1))
            group.committed.set(key, offset);
        }
      },
      stop: async () => {
        const gone = member;
        member = null;
        if (!gone) return;
        gone.generation = -1;
        group.members = group.members.filter((other) => other !== gone);
        rebalance(group);
      },
      health: () => ({
        running: member !== null,
        crashed: null,
        lastFetchMs: member ? now() : 0,
        lastHeartbeatMs: member ? now() : 0,
        lastJoinMs: joinedMs,
      }),
    };
  }

  return {
    writer,
    inspector,
    feed,
    failAppend(times, { written = false } = {}) {
      failing = times;
      failingWritten = written;
    },
    truncate(topic, partition, before) {
      const log = partitionOf(topic, partition);
      log.low = Math.max(log.low, Math.min(before, log.records.length));
    },
    committed: (name, topic, partition) =>
      groupOf(name).committed.get(keyOf(topic, partition)) ?? null,
    records: (topic, partition) => partitionOf(topic, partition).records,
  };
}
