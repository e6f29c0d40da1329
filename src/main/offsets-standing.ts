/** What `twinstream offsets` works with: every stored offset beside the log that it should belong to. */
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createDeviceView } from "../adapters/redis/device-view.js";
import {
  createOffsetKeeper,
  type OffsetMove,
  type StoredOffset,
} from "../adapters/timescale/offsets.js";
import type { Config } from "../config.js";
import type { LogRecord } from "../domain/message.js";
import { TOPIC } from "../domain/names.js";
import { reasonOf } from "../errors.js";
import type { LogBounds, LogInspector } from "../ports.js";
import { positionOf } from "../pipeline/position.js";
import { commandLogConnection } from "./kafka-log.js";
import { createActLog } from "./operator-acts.js";

export interface Standing extends StoredOffset {
  /** Of the log's partition. */
  readonly low: number;
  readonly high: number;
  /** Why the stored offset is not of this log; null when it is. */
  readonly trouble: string | null;
}

const UNCLAIMED = {
  nextOffset: -1,
  epoch: 0,
  owner: null,
  clusterId: null,
  lastRecordMs: null,
};

export async function look(config: Config, say: (line: string) => void) {
  const log = createLogInspector(commandLogConnection(config, "offsets"));
  const keeper = createOffsetKeeper({ url: config.DATABASE_URL });

  async function witnessed(
    { topic, partition }: StoredOffset,
    witness: { offset: number; ms: number } | null,
  ): Promise<string | null> {
    if (witness === null) return null;
    const from = witness.offset;
    let seen: LogRecord | undefined;
    await log.read(
      { topic, partition, from, to: from + 1 },
      async (records) => {
        seen ??= records.find(({ offset }) => offset === from);
      },
      AbortSignal.timeout(10_000),
    );
    return seen === undefined || seen.timestampMs === witness.ms
      ? null
      : `the record at ${from} is another than the one that was stored`;
  }

  async function standingOf(
    at: StoredOffset,
    bounds: { low: number; high: number },
    committed: number,
    clusterId: string,
  ): Promise<Standing> {
    let trouble: string | null;
    try {
      const position = positionOf(
        at,
        bounds,
        committed,
        clusterId,
        at.partition,
      );
      trouble = await witnessed(at, position.witness);
    } catch (error) {
      trouble = reasonOf(error);
    }
    return { ...at, ...bounds, trouble };
  }

  const clusterId = await log.clusterId();
  const group = config.PROCESSOR_GROUP;
  const committed = new Map<string, readonly number[]>([
    [TOPIC.data, await log.committed(group, TOPIC.data)],
    [TOPIC.commands, await log.committed(group, TOPIC.commands)],
  ]);
  const standing: Standing[] = [];
  for (const { at, bounds } of await storedWithin(keeper, log)) {
    const told = committed.get(at.topic)?.[at.partition] ?? -1;
    standing.push(await standingOf(at, bounds, told, clusterId));
  }
  // No processor has claimed these in this database, and yet the group has worked them off: there was another.
  for (const [topic, all] of committed) {
    const bounds = await log.bounds(topic);
    for (const [partition, told] of all.entries()) {
      const known = standing.some(
        (at) => at.topic === topic && at.partition === partition,
      );
      if (known || told <= bounds[partition]!.low) continue;
      const at = { ...UNCLAIMED, topic, partition };
      standing.push(await standingOf(at, bounds[partition]!, told, clusterId));
    }
  }

  return {
    standing,
    async offsetsAt({ topic, partition, low }: Standing, ms: number) {
      return ms === 0 ? low : (await log.offsetsAt(topic, ms))[partition]!;
    },
    /** @param foreign those of them whose marks in Redis are of another log, and have to go with the offsets */
    async move(
      moves: readonly OffsetMove[],
      foreign: readonly OffsetMove[] = [],
    ): Promise<void> {
      if (moves.length === 0) {
        say("nothing to move");
        return;
      }
      if (foreign.length > 0) await forgetMarks(config, foreign);
      await keeper.move(moves, clusterId);
      for (const { topic, partition, offset } of moves)
        say(`${topic}/${partition}: begins at ${offset}`);
      const moved = moves.map((to) => `${to.topic}/${to.partition}`);
      createActLog(config)("offsets move", moved.join(" "), null, true);
    },
    async close(): Promise<void> {
      await Promise.all([log.close(), keeper.close()]);
    },
  };
}

/**
 * Stored offsets with the bounds of their partitions. The log is asked second: processors go on meanwhile, and an offset that
 * was stored after the log's end was read would look as if it were another log's.
 */
export async function storedWithin(
  keeper: { list(): Promise<StoredOffset[]> },
  log: Pick<LogInspector, "bounds">,
): Promise<{ at: StoredOffset; bounds: LogBounds }[]> {
  const stored = await keeper.list();
  const ends = new Map<string, LogBounds[]>([
    [TOPIC.data, await log.bounds(TOPIC.data)],
    [TOPIC.commands, await log.bounds(TOPIC.commands)],
  ]);
  return stored.flatMap((at) => {
    const bounds = ends.get(at.topic)?.[at.partition];
    return bounds === undefined ? [] : [{ at, bounds }];
  });
}

async function forgetMarks(
  config: Config,
  moves: readonly OffsetMove[],
): Promise<void> {
  const view = createDeviceView({
    url: config.REDIS_URL,
    historySeconds: config.HISTORY_HOURS * 3600,
    clock: Date.now,
  });
  try {
    for (const { topic, partition } of moves)
      await view.setMark(topic, partition, null);
  } finally {
    await view.close();
  }
}
