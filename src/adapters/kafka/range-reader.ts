/**
 * Reads a range of one partition without a consumer group, by fetch requests of its own. A group of one would do too, but
 * brokers let a new group wait for further members (3 s by default) and show it to people, and a lane reads a record or
 * more of each of its topics whenever it is claimed.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Cluster } from "kafkajs";
import type { LogBounds, LogInspector } from "../../ports.js";
import type { LogConnection } from "./connect.js";
import { brokerErrorOf, unreachable } from "./failure.js";
import {
  clusterOf,
  committedMessages,
  type FetchedMessage,
  type FetchedPartition,
  READ_COMMITTED,
} from "./internals.js";
import { recordsOf } from "./records.js";

/**
 * Of one fetch; a larger record batch comes alone (KIP-74). All partitions of a rebuild hold one each, decoded and worked out to
 * several times its size.
 */
const FETCH_BYTES = 1024 * 1024;
const FETCH_WAIT_MS = 100;
/** Tries of one request, each with those of its connection, 200 ms doubling between them: about 8 s in all. */
const ATTEMPTS = 4;
const FIRST_DELAY_MS = 200;

export interface RangeReader {
  readonly read: LogInspector["read"];
  close(): Promise<void>;
}

export function createRangeReader({ kafka, log }: LogConnection): RangeReader {
  let connecting: Promise<Cluster> | null = null;
  const inTurn = turns();

  function connected(): Promise<Cluster> {
    connecting ??= (async () => {
      const cluster = clusterOf(kafka);
      await cluster.connect();
      return cluster;
    })();
    return connecting;
  }

  /** Answers `attempt`, tried again after a pause while it fails. */
  async function patiently<T>(
    doing: string,
    signal: AbortSignal,
    attempt: (cluster: Cluster) => Promise<T>,
  ): Promise<T> {
    for (let failures = 1; ; failures++) {
      try {
        return await attempt(await connected());
      } catch (error) {
        signal.throwIfAborted();
        if (failures >= ATTEMPTS) throw unreachable(doing, error);
        log("debug", `${doing} failed, trying again`, {
          error: String(error),
          failures,
        });
        const delayMs = FIRST_DELAY_MS * 2 ** (failures - 1);
        await pause(delayMs, undefined, { signal });
        await refresh();
      }
    }
  }

  /** Leaders may have moved or come back; a cluster that cannot even say so is let go. */
  async function refresh(): Promise<void> {
    try {
      await (await connecting)?.refreshMetadata();
    } catch (error) {
      log("debug", "the log's metadata could not be refreshed", {
        error: String(error),
      });
      await close();
    }
  }

  async function close(): Promise<void> {
    const old = connecting;
    connecting = null;
    try {
      await (await old)?.disconnect();
    } catch (error) {
      log("debug", "a reader of the log did not disconnect", {
        error: String(error),
      });
    }
  }

  return {
    async read({ topic, partition, from, to }, each, signal) {
      const doing = `reading ${topic}/${partition}`;
      signal.throwIfAborted();
      const bounds = () =>
        patiently(doing, signal, (cluster) =>
          boundsOf(cluster, topic, partition),
        );
      const { low, high } = await bounds();
      const end = Math.min(to, high);
      let position = Math.max(from, low);
      while (position < end) {
        const fetched = await patiently(doing, signal, (cluster) =>
          fetchAt(cluster, topic, partition, position, inTurn),
        );
        if (fetched === "out of range") {
          const { low: moved } = await bounds();
          if (moved <= position)
            throw unreachable(doing, `the log refuses offset ${position}`);
          position = moved;
          continue;
        }
        // The log answers at once when it holds anything at or after the position: the rest of the range is empty.
        if (fetched.messages.length === 0) return;
        const begin = position;
        const messages = committedMessages(fetched).filter(({ offset }) => {
          const at = Number(offset);
          return at >= begin && at < end;
        });
        position = endOf(fetched.messages, begin);
        signal.throwIfAborted();
        if (messages.length > 0)
          await each(recordsOf(topic, partition, messages));
        signal.throwIfAborted();
      }
    },
    close,
  };
}

/** Where the next fetch begins: behind the last record batch, also where its last records were compacted away. */
function endOf(messages: readonly FetchedMessage[], position: number): number {
  const { offset, batchContext } = messages.at(-1)!;
  const last = batchContext
    ? Number(batchContext.firstOffset) + batchContext.lastOffsetDelta
    : Number(offset);
  return Math.max(position, last) + 1;
}

type InTurn = <T>(nodeId: string, work: () => Promise<T>) => Promise<T>;

/**
 * One fetch at a time of a broker, which answers a connection's requests one after the other anyway. kafkajs opens a
 * connection of its own for fetches at the first of them; two at once open two, and one is never closed.
 */
function turns(): InTurn {
  const last = new Map<string, Promise<unknown>>();
  return (nodeId, work) => {
    const before = last.get(nodeId) ?? Promise.resolve();
    const mine = before.then(work);
    last.set(
      nodeId,
      mine.catch(() => undefined), // Whoever asked hears of it.
    );
    return mine;
  };
}

async function boundsOf(
  cluster: Cluster,
  topic: string,
  partition: number,
): Promise<LogBounds> {
  await cluster.addTargetTopic(topic);
  await cluster.refreshMetadataIfNecessary();
  const ask = async (fromBeginning: boolean) => {
    const [answer] = await cluster.fetchTopicsOffset([
      { topic, partitions: [{ partition }], fromBeginning },
    ]);
    const offset = answer?.partitions[0]?.offset;
    if (offset === undefined)
      throw new Error(`${topic} has no partition ${partition}`);
    return Number(offset);
  };
  return { high: await ask(false), low: await ask(true) };
}

async function fetchAt(
  cluster: Cluster,
  topic: string,
  partition: number,
  position: number,
  inTurn: InTurn,
): Promise<FetchedPartition | "out of range"> {
  const leaders = cluster.findLeaderForPartitions(topic, [partition]);
  const nodeId = Object.keys(leaders)[0];
  if (nodeId === undefined)
    throw new Error(`${topic}/${partition} has no leader`);
  const leader = await cluster.findBroker({ nodeId });
  const wanted = {
    partition,
    fetchOffset: String(position),
    maxBytes: FETCH_BYTES,
  };
  try {
    const { responses } = (await inTurn(nodeId, () =>
      leader.fetch({
        isolationLevel: READ_COMMITTED,
        maxWaitTime: FETCH_WAIT_MS,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
        topics: [{ topic, partitions: [wanted] }],
      }),
    )) as { responses: { partitions: FetchedPartition[] }[] };
    const fetched = responses[0]?.partitions[0];
    if (!fetched) throw new Error("the log's answer holds no partition");
    return fetched;
  } catch (error) {
    if (brokerErrorOf(error) === "OFFSET_OUT_OF_RANGE") return "out of range";
    throw error;
  }
}
