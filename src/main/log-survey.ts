/** `twinstream log topics` and `log groups`. */
import {
  createLogSurvey,
  type LogSurvey,
  type SurveyedGroup,
  type SurveyedTopic,
} from "../adapters/kafka/survey.js";
import { loadConfig } from "../config.js";
import { TwinstreamError } from "../errors.js";
import { commandLogConnection } from "./kafka-log.js";
import { table } from "./table.js";

async function withSurvey(
  work: (survey: LogSurvey) => Promise<void>,
): Promise<void> {
  const config = loadConfig(process.env);
  const survey = createLogSurvey(commandLogConnection(config, "log"));
  try {
    await work(survey);
  } finally {
    await survey.close();
  }
}

export const showTopics = (options: {
  partitions?: true;
  json?: true;
}): Promise<void> =>
  withSurvey(async (survey) => {
    const topics = await survey.topics();
    if (options.json) console.log(JSON.stringify(topics));
    else if (topics.length === 0)
      console.log("the log has no topics; twinstream migrate makes them");
    else
      console.log(
        options.partitions ? partitionTable(topics) : topicTable(topics),
      );
  });

export const showGroups = (
  group: string | undefined,
  options: { json?: true },
): Promise<void> =>
  withSurvey(async (survey) => {
    const all = await survey.groups();
    const groups = all.filter(
      (one) => group === undefined || one.group === group,
    );
    if (group !== undefined && groups.length === 0)
      throw new TwinstreamError(
        "NOT_FOUND",
        `there is no group ${group}; there are: ${all.map((one) => one.group).join(", ") || "none"}`,
      );
    if (options.json) console.log(JSON.stringify(groups));
    else if (groups.length === 0)
      console.log("there are no consumer groups; a role makes its own");
    else console.log(groups.map(groupText).join("\n\n"));
  });

function topicTable(topics: readonly SurveyedTopic[]): string {
  return table([
    ["topic", "partitions", "records", "kept", ""],
    ...topics.map(({ topic, partitions, retentionMs }) => {
      const missing = partitions.filter((one) => one.inSync < one.replicas);
      return [
        topic,
        String(partitions.length),
        String(partitions.reduce((sum, one) => sum + one.high - one.low, 0)),
        duration(retentionMs),
        missing.length === 0 ? "" : `${missing.length} without all replicas`,
      ];
    }),
  ]);
}

const partitionTable = (topics: readonly SurveyedTopic[]): string =>
  table([
    ["partition", "first", "next", "records", "leader", "replicas"],
    ...topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, low, high, leader, replicas, inSync }) => [
        `${topic}/${partition}`,
        String(low),
        String(high),
        String(high - low),
        String(leader),
        `${inSync} of ${replicas}`,
      ]),
    ),
  ]);

function groupText({ group, state, members, partitions }: SurveyedGroup) {
  const lag = partitions.reduce((sum, one) => sum + one.lag, 0);
  const head = `${group}: ${state}, ${members.length} member${members.length === 1 ? "" : "s"}, lag ${lag}`;
  if (partitions.length === 0) return `${head}\n  nothing committed yet`;
  const rows = partitions.map((one) => [
    `  ${one.topic}/${one.partition}`,
    one.committed === null ? "none" : String(one.committed),
    String(one.high),
    String(one.lag),
    one.client ?? "nobody",
  ]);
  return `${head}\n${table([["  partition", "committed", "end", "lag", "member"], ...rows])}`;
}

function duration(ms: number | null): string {
  if (ms === null) return "?";
  if (ms < 0) return "for ever";
  const hours = ms / 3_600_000;
  return hours >= 48
    ? `${Number((hours / 24).toFixed(1))} days`
    : `${Number(hours.toFixed(1))} h`;
}
