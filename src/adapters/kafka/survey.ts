/** What there is on the log for people who look at it: topics with their bounds, consumer groups with members and lag. */
import kafkajs, { type Admin, AssignerProtocol } from "kafkajs";
import type { LogConnection } from "./connect.js";
import { unreachable } from "./failure.js";

export interface SurveyedTopic {
  readonly topic: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly low: number;
    readonly high: number;
    readonly leader: number;
    /** Replicas, and those of them that have all of it. */
    readonly replicas: number;
    readonly inSync: number;
  }[];
  /** Milliseconds; −1 keeps for ever; null where the broker does not say. */
  readonly retentionMs: number | null;
}

export interface SurveyedGroup {
  readonly group: string;
  /** As the broker calls it: Stable, Empty, PreparingRebalance, … */
  readonly state: string;
  readonly members: readonly {
    readonly client: string;
    readonly host: string;
    readonly partitions: readonly string[];
  }[];
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    /** Null where nothing was ever committed. */
    readonly committed: number | null;
    readonly low: number;
    readonly high: number;
    /** Records that are not committed. */
    readonly lag: number;
    /** Client of the member that has it. */
    readonly client: string | null;
  }[];
}

export interface LogSurvey {
  topics(): Promise<SurveyedTopic[]>;
  groups(): Promise<SurveyedGroup[]>;
  close(): Promise<void>;
}

/** Methods throw LOG_UNREACHABLE. */
export function createLogSurvey({ kafka }: LogConnection): LogSurvey {
  let admin: Promise<Admin> | null = null;
  const connected = (): Promise<Admin> =>
    (admin ??= (async () => {
      const client = kafka.admin();
      await client.connect();
      return client;
    })());
  const ask = async <T>(
    doing: string,
    question: (client: Admin) => Promise<T>,
  ): Promise<T> => {
    try {
      return await question(await connected());
    } catch (error) {
      throw unreachable(doing, error);
    }
  };

  return {
    topics: () => ask("listing the topics", topicsOf),
    groups: () => ask("listing the consumer groups", groupsOf),
    async close() {
      // One that never connected has nothing to close.
      const client = await admin?.catch(() => null);
      await client?.disconnect();
    },
  };
}

async function topicsOf(client: Admin): Promise<SurveyedTopic[]> {
  const { topics } = await client.fetchTopicMetadata();
  const shown = topics
    .filter(({ name }) => !name.startsWith("__"))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const retention = await retentionOf(
    client,
    shown.map(({ name }) => name),
  );
  return Promise.all(
    shown.map(async ({ name, partitions }) => {
      const bounds = await boundsOf(client, name);
      return {
        topic: name,
        retentionMs: retention.get(name) ?? null,
        partitions: partitions
          .toSorted((a, b) => a.partitionId - b.partitionId)
          .map(({ partitionId, leader, replicas, isr }) => ({
            partition: partitionId,
            ...(bounds.get(partitionId) ?? { low: 0, high: 0 }),
            leader,
            replicas: replicas.length,
            inSync: isr.length,
          })),
      };
    }),
  );
}

async function groupsOf(client: Admin): Promise<SurveyedGroup[]> {
  const { groups } = await client.listGroups();
  const names = groups
    .filter(({ protocolType }) => protocolType === "consumer")
    .map(({ groupId }) => groupId)
    .toSorted();
  if (names.length === 0) return [];
  const described = (await client.describeGroups(names)).groups;
  const bounds = new Map<string, Promise<Map<number, Bounds>>>();
  const boundsFor = (topic: string): Promise<Map<number, Bounds>> => {
    const known = bounds.get(topic) ?? boundsOf(client, topic);
    bounds.set(topic, known);
    return known;
  };
  return Promise.all(
    described.map(async ({ groupId, state, members }) => {
      const shown = members.map(
        ({ clientId, clientHost, memberAssignment }) => ({
          client: clientId,
          host: clientHost.replace(/^\//, ""),
          partitions: assigned(memberAssignment),
        }),
      );
      const owner = new Map(
        shown.flatMap(({ client: name, partitions }) =>
          partitions.map((at) => [at, name] as const),
        ),
      );
      const committed = await client.fetchOffsets({ groupId });
      const partitions: SurveyedGroup["partitions"][number][] = [];
      for (const { topic, partitions: offsets } of committed) {
        const ends = await boundsFor(topic);
        for (const { partition, offset } of offsets) {
          const { low, high } = ends.get(partition) ?? { low: 0, high: 0 };
          const at = Number(offset) < 0 ? null : Number(offset);
          const from = Math.max(at ?? low, low);
          partitions.push({
            topic,
            partition,
            committed: at,
            low,
            high,
            lag: Math.max(0, high - from),
            client: owner.get(`${topic}/${partition}`) ?? null,
          });
        }
      }
      partitions.sort(
        (a, b) =>
          (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0) ||
          a.partition - b.partition,
      );
      return { group: groupId, state, members: shown, partitions };
    }),
  );
}

interface Bounds {
  readonly low: number;
  readonly high: number;
}

async function boundsOf(
  client: Admin,
  topic: string,
): Promise<Map<number, Bounds>> {
  const offsets = await client.fetchTopicOffsets(topic);
  return new Map(
    offsets.map(({ partition, low, high }) => [
      partition,
      { low: Number(low), high: Number(high) },
    ]),
  );
}

async function retentionOf(
  client: Admin,
  topics: readonly string[],
): Promise<Map<string, number>> {
  if (topics.length === 0) return new Map();
  const { resources } = await client.describeConfigs({
    includeSynonyms: false,
    resources: topics.map((name) => ({
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name,
      configNames: ["retention.ms"],
    })),
  });
  return new Map(
    resources.flatMap(({ resourceName, configEntries }) =>
      configEntries
        .filter(({ configName }) => configName === "retention.ms")
        .map(({ configValue }) => [resourceName, Number(configValue)] as const),
    ),
  );
}

/** topic/partition of a member; a member of another client may write its assignment in a way of its own. */
function assigned(bytes: Buffer): string[] {
  try {
    const found = AssignerProtocol.MemberAssignment.decode(bytes);
    return Object.entries(found?.assignment ?? {})
      .flatMap(([topic, partitions]) =>
        partitions.map((partition) => `${topic}/${partition}`),
      )
      .toSorted();
  } catch {
    return [];
  }
}
