/** The flush's side of the fence: move the offset from where this process left it, or say why it cannot. */
import type { Flush } from "../../ports.js";
import type { Session } from "./connect.js";
import { toIso } from "../../domain/time.js";

/** Only the claim is checked where from equals to. A partition of which nothing was stored (-1) is moved from anywhere. */
const MOVE = `
  UPDATE stream_offsets s
  SET next_offset = CASE WHEN f.until > f.since THEN f.until ELSE s.next_offset END,
      last_record_time = CASE WHEN f.until > f.since THEN f.record_time ELSE s.last_record_time END,
      owner = $2, cluster_id = $3, moved_at = now()
  FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::timestamptz[]) AS f (topic, epoch, since, until, record_time)
  WHERE s.topic = f.topic AND s.partition = $1 AND s.epoch = f.epoch AND s.next_offset IN (f.since, -1)`;

const LOOK = `
  SELECT topic, epoch, next_offset FROM stream_offsets
  WHERE partition = $1 AND topic = ANY ($2::text[]) ORDER BY topic FOR UPDATE`;

export async function moveFence(
  session: Session,
  flush: Flush,
): Promise<boolean> {
  const { fence } = flush;
  const moved = await session.run(MOVE, [
    flush.partition,
    flush.owner,
    flush.clusterId,
    fence.map((move) => move.topic),
    fence.map((move) => move.epoch),
    fence.map((move) => move.from),
    fence.map((move) => move.to),
    fence.map((move) =>
      move.lastRecordMs === null ? null : toIso(move.lastRecordMs * 1000),
    ),
  ]);
  return moved === fence.length;
}

/** Why the fence did not move; waits for whoever is moving it. */
export async function whyNotMoved(
  session: Session,
  { fence, partition }: Flush,
): Promise<"already" | "elsewhere" | "lost"> {
  const rows = await session.rows<{
    topic: string;
    epoch: string;
    next_offset: string;
  }>(LOOK, [partition, fence.map((move) => move.topic)]);
  const standing = fence.map((move) => {
    const row = rows.find((candidate) => candidate.topic === move.topic);
    if (row === undefined) return "elsewhere";
    const epoch = Number(row.epoch);
    if (epoch > move.epoch) return "lost";
    const at = Number(row.next_offset);
    const ended = at === move.to || (move.from === move.to && at === -1);
    return epoch === move.epoch && ended ? "already" : "elsewhere";
  });
  if (standing.includes("lost")) return "lost";
  return standing.includes("elsewhere") ? "elsewhere" : "already";
}
