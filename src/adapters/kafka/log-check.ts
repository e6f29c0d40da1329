/** Whether the log has the topics that we need, as we need them. */
import kafkajs, { type Admin } from "kafkajs";
import { advice, type Finding, fine, wrong } from "../../domain/finding.js";
import type { LogConnection } from "./connect.js";
import { unreachable } from "./failure.js";
import { TOPIC } from "../../domain/names.js";

/** A device's largest message in its envelope, see topics.ts. */
const RECORD_BYTES = 4 * 1024 * 1024;
const MIGRATE = "run: twinstream migrate";

/**
 * @param partitions what IOT_PARTITIONS says
 * @throws TwinstreamError LOG_UNREACHABLE
 */
export async function checkLog(
  { kafka }: LogConnection,
  partitions: number,
): Promise<Finding[]> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return [
      fine(`answers with ${brokers.length} broker(s)`),
      ...(await checkTopics(admin, partitions)),
    ];
  } catch (error) {
    throw unreachable("looking at the log", error);
  } finally {
    await admin.disconnect();
  }
}

async function checkTopics(
  admin: Admin,
  partitions: number,
): Promise<Finding[]> {
  const there = new Set(await admin.listTopics());
  const names = Object.values(TOPIC);
  const missing = names.filter((name) => !there.has(name));
  if (missing.length > 0)
    return [wrong(`has no topic ${missing.join(", ")}`, MIGRATE)];
  const { topics } = await admin.fetchTopicMetadata({ topics: names });
  const counts = new Map(
    topics.map((topic) => [topic.name, topic.partitions.length]),
  );
  const leaderless = topics.flatMap((topic) =>
    topic.partitions
      .filter((partition) => partition.leader < 0)
      .map((partition) => `${topic.name}/${partition.partitionId}`),
  );
  const findings = [checkPair(counts, partitions)];
  if (leaderless.length > 0)
    findings.push(
      wrong(
        `has no leader for ${leaderless.join(", ")}: these partitions stand still`,
        "bring the brokers that hold them back",
      ),
    );
  findings.push(await checkRecordSize(admin));
  return findings;
}

/** A device's telemetry and commands lie in the same partition number. */
function checkPair(
  counts: ReadonlyMap<string, number>,
  partitions: number,
): Finding {
  const data = counts.get(TOPIC.data) ?? 0;
  const commands = counts.get(TOPIC.commands) ?? 0;
  if (data !== commands)
    return wrong(
      `${TOPIC.data} has ${data} partitions and ${TOPIC.commands} ${commands}`,
      "they must have as many: drain both, and make them again with one number",
    );
  if (data !== partitions)
    return advice(
      `has ${data} partitions a topic, where IOT_PARTITIONS says ${partitions}`,
      "nothing has to be done: the number counts only when topics are made; changing it needs a drain",
    );
  return fine(`has all topics, ${data} partitions each for data and commands`);
}

async function checkRecordSize(admin: Admin): Promise<Finding> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [
      {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: TOPIC.data,
        configNames: ["max.message.bytes"],
      },
    ],
  });
  const entry = resources[0]?.configEntries.find(
    (one) => one.configName === "max.message.bytes",
  );
  const bytes = Number(entry?.configValue ?? RECORD_BYTES);
  return bytes < RECORD_BYTES
    ? wrong(
        `${TOPIC.data} takes records of at most ${bytes} bytes`,
        `set its max.message.bytes to ${RECORD_BYTES}: a device's largest message does not fit`,
      )
    : fine(`${TOPIC.data} takes records of ${bytes} bytes`);
}
