import { createMemoryLog } from "../support/memory-log.js";
import { logConformance } from "./log.js";

logConformance("log in memory", async (run) => {
  const log = createMemoryLog({ partitions: 4 });
  const topics = ["device-commands", "iot-data"] as const;
  await run({
    writer: log.writer,
    inspector: log.inspector,
    commands: topics[0],
    data: topics[1],
    feed: () => log.feed("group", topics),
    committed: async (topic, partition) =>
      log.committed("group", topic, partition),
    truncate: async (topic, partition, before) =>
      log.truncate(topic, partition, before),
  });
}).run();
