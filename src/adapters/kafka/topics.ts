/** The topics of the contracts, section 2, made where they are missing. */
import { setTimeout as pause } from "node:timers/promises";
import type { Admin, ITopicConfig } from "kafkajs";
import { TOPIC } from "../../domain/names.js";
import { TwinstreamError } from "../../errors.js";
import type { LogConnection } from "./connect.js";
import { brokerErrorOf, unreachable } from "./failure.js";

/** How long new topics may take until every partition answers, and how often they are asked, milliseconds. */
const LEADERS_MS = 15_000;
const LEADERS_POLL_MS = 50;
/** What a broker says of a topic that it has not quite heard of. */
const NOT_YET = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
]);

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;
const RETENTION_MS = 7 * DAY_MS;
const DLQ_RETENTION_MS = 14 * DAY_MS;
/** Beats older than this are compacted to the last of each bridge: a processor reads them all when it starts. */
const BEATS_SEGMENT_MS = 3_600_000;
/** Partitions of the topics whose count is no setting. */
const SIDE_PARTITIONS = 3;
/** A device's 2.5 MiB as base64 in its envelope fit into 4 MiB; a dead letter's headers on top of that into 5. */
const RECORD_BYTES = 4 * MIB;
const DLQ_RECORD_BYTES = 5 * MIB;

export interface TopicSettings {
  /** Of `iot-data` and `device-commands`, where they are made. */
  readonly partitions: number;
  readonly replication: number;
}

export interface Topics {
  readonly created: readonly string[];
  /** Of `iot-data` and `device-commands`, as they are. */
  readonly partitions: number;
}

/**
 * Makes the missing topics and leaves the others as they are; any number of processes may do so at once.
 * @throws TwinstreamError LOG_UNREACHABLE; CONFIG_INVALID when `iot-data` and `device-commands` differ in their partitions.
 */
export async function ensureTopics(
  { kafka, log }: LogConnection,
  settings: TopicSettings,
): Promise<Topics> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await make(admin, settings, log);
  } catch (error) {
    throw unreachable("making the topics", error);
  } finally {
    await admin.disconnect();
  }
}

async function make(
  admin: Admin,
  settings: TopicSettings,
  log: LogConnection["log"],
): Promise<Topics> {
  const there = new Set(await admin.listTopics());
  // Whichever of the two is there already decides for both: a device has one partition number in both.
  const pair = [TOPIC.data, TOPIC.commands].filter((name) => there.has(name));
  const counts = pair.length > 0 ? await partitionCounts(admin, pair) : null;
  const partitions = counts?.get(pair[0]!) ?? settings.partitions;
  const missing = wanted(partitions, settings.replication).filter(
    ({ topic }) => !there.has(topic),
  );
  if (missing.length > 0) {
    await createTopics(admin, missing);
    log("info", "topics made", { topics: missing.map(({ topic }) => topic) });
  }
  const now = await partitionCounts(admin, [TOPIC.data, TOPIC.commands]);
  const data = now.get(TOPIC.data)!;
  const commands = now.get(TOPIC.commands)!;
  if (data !== commands)
    throw new TwinstreamError(
      "CONFIG_INVALID",
      `${TOPIC.data} has ${data} partitions and ${TOPIC.commands} ${commands}; they must have as many, since a device's records lie in the same partition of both`,
    );
  return { created: missing.map(({ topic }) => topic), partitions: data };
}

/**
 * Makes topics, also beside others that make some of them, and resolves once each of their partitions can be used. A
 * broker hears of a new topic a little later than its controller, and kafkajs' own wait gives up on the first such answer.
 */
export async function createTopics(
  admin: Admin,
  topics: ITopicConfig[],
): Promise<void> {
  // Answers false, and makes the rest, when another process was faster with some of them.
  await admin.createTopics({ topics, timeout: 10_000, waitForLeaders: false });
  const names = topics.map(({ topic }) => topic);
  const deadline = Date.now() + LEADERS_MS;
  for (;;) {
    try {
      // Asks each leader, not the metadata alone: a partition that is led on paper refuses fetches a little longer, and a
      // consumer that meets such a refusal joins its group anew.
      for (const name of names) await admin.fetchTopicOffsets(name);
      return;
    } catch (error) {
      const notYet = NOT_YET.has(brokerErrorOf(error) ?? "");
      if (!notYet || Date.now() > deadline) throw error;
    }
    await pause(LEADERS_POLL_MS);
  }
}

async function partitionCounts(
  admin: Admin,
  topics: readonly string[],
): Promise<Map<string, number>> {
  const metadata = await admin.fetchTopicMetadata({ topics: [...topics] });
  return new Map(
    metadata.topics.map(({ name, partitions }) => [name, partitions.length]),
  );
}

function wanted(partitions: number, replication: number): ITopicConfig[] {
  const topic = (
    name: string,
    numPartitions: number,
    retentionMs: number,
    recordBytes: number,
    policy: "delete" | "compact" = "delete",
  ): ITopicConfig => ({
    topic: name,
    numPartitions,
    replicationFactor: replication,
    configEntries: [
      { name: "cleanup.policy", value: policy },
      { name: "retention.ms", value: String(retentionMs) },
      { name: "max.message.bytes", value: String(recordBytes) },
      // With three replicas an acknowledged record survives the loss of any one broker, and one may be away.
      ...(replication >= 3
        ? [{ name: "min.insync.replicas", value: "2" }]
        : []),
    ],
  });
  const beats = topic(TOPIC.beats, 1, RETENTION_MS, MIB, "compact");
  return [
    topic(TOPIC.data, partitions, RETENTION_MS, RECORD_BYTES),
    topic(TOPIC.commands, partitions, RETENTION_MS, RECORD_BYTES),
    topic(
      TOPIC.dataDeadLetters,
      SIDE_PARTITIONS,
      DLQ_RETENTION_MS,
      DLQ_RECORD_BYTES,
    ),
    topic(TOPIC.uploads, SIDE_PARTITIONS, RETENTION_MS, MIB),
    topic(
      TOPIC.uploadDeadLetters,
      SIDE_PARTITIONS,
      DLQ_RETENTION_MS,
      DLQ_RECORD_BYTES,
    ),
    // One record a bridge is all that counts, and stays however long a bridge is away.
    {
      ...beats,
      configEntries: [
        ...beats.configEntries!,
        { name: "segment.ms", value: String(BEATS_SEGMENT_MS) },
      ],
    },
  ];
}
