/**
 * Claiming a partition: the fence. Raising the epoch waits for the row's lock, and so for a flush in progress; from then on
 * no flush of an earlier claim moves the offset. Both topics in one statement, ordered, so that two claimants cannot
 * deadlock.
 */
import type { Claim } from "../../ports.js";
import type { Database, Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

const CLAIM = `
  INSERT INTO stream_offsets (topic, partition, next_offset, epoch, owner)
  SELECT topic, $2, -1, 1, $3 FROM unnest($1::text[]) AS topic ORDER BY topic
  ON CONFLICT (topic, partition) DO UPDATE
    SET epoch = stream_offsets.epoch + 1, owner = excluded.owner, claimed_at = now()
  RETURNING topic, next_offset, epoch, cluster_id, ${microsecondsOf("last_record_time")} / 1000 AS last_record_ms`;

/** A holder that keeps us waiting longer is stalled (a flush takes milliseconds) and is ended. */
const PATIENCE_MS = 5_000;

/** Answers in the order of `topics`. */
export async function claim(
  database: Database,
  topics: readonly string[],
  partition: number,
  owner: string,
  patienceMs = PATIENCE_MS,
): Promise<Claim[]> {
  return database.use("claim a partition", async (session) => {
    const rows = await endingBlockers(database, session, patienceMs, () =>
      session.rows<{
        topic: string;
        next_offset: string;
        epoch: string;
        cluster_id: string | null;
        last_record_ms: string | null;
      }>(CLAIM, [topics, partition, owner]),
    );
    return topics.map((topic) => {
      const row = rows.find((candidate) => candidate.topic === topic)!;
      return {
        topic,
        nextOffset: Number(row.next_offset),
        epoch: Number(row.epoch),
        clusterId: row.cluster_id,
        lastRecordMs:
          row.last_record_ms === null ? null : Number(row.last_record_ms),
      };
    });
  });
}

/** Runs a statement that may wait for a lock; whoever of ours blocks it beyond `patienceMs` is ended, again and again. */
async function endingBlockers<T>(
  database: Database,
  session: Session,
  patienceMs: number,
  statement: () => Promise<T>,
): Promise<T> {
  let failure: unknown;
  let ending: Promise<unknown> | null = null;
  const timer = setInterval(() => {
    ending ??= database
      .endBlockersOf(session.pid)
      .catch((error: unknown) => {
        failure = error; // told with the statement's own failure: it ends by lock_timeout if this goes on
      })
      .finally(() => {
        ending = null;
      });
  }, patienceMs);
  try {
    return await statement();
  } catch (error) {
    throw failure === undefined || !(error instanceof Error)
      ? error
      : Object.assign(error, { cause: failure });
  } finally {
    clearInterval(timer);
  }
}
