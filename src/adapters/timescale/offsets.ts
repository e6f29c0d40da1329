/** The fence for operators: where every partition is stored, and moving it. */
import { connectDatabase } from "./connect.js";
import { microsecondsOf } from "./times.js";

export interface StoredOffset {
  readonly topic: string;
  readonly partition: number;
  /** First offset not stored yet; -1 when nothing was ever stored. */
  readonly nextOffset: number;
  readonly epoch: number;
  readonly owner: string | null;
  readonly clusterId: string | null;
  /** Log time of the record at nextOffset - 1. */
  readonly lastRecordMs: number | null;
}

export interface OffsetMove {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface OffsetKeeper {
  list(): Promise<StoredOffset[]>;
  /** Raises the epoch of each, so that its owner claims again and begins there; answers how many were moved. */
  move(moves: readonly OffsetMove[], clusterId: string): Promise<number>;
  close(): Promise<void>;
}

const LIST = `
  SELECT topic, partition, next_offset, epoch, owner, cluster_id, ${microsecondsOf("last_record_time")} / 1000 AS last_ms
  FROM stream_offsets ORDER BY topic, partition`;

const MOVE = `
  INSERT INTO stream_offsets AS s (topic, partition, next_offset, epoch, cluster_id, moved_at)
  SELECT topic, partition, next_offset, 1, $1, now()
  FROM unnest($2::text[], $3::int[], $4::bigint[]) AS m (topic, partition, next_offset)
  ORDER BY topic, partition
  ON CONFLICT (topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, epoch = s.epoch + 1, cluster_id = excluded.cluster_id,
        last_record_time = NULL, moved_at = excluded.moved_at`;

export function createOffsetKeeper(options: { url: string }): OffsetKeeper {
  const database = connectDatabase({
    url: options.url,
    name: "offsets",
    role: "twinstream_writer",
    poolMin: 0,
    poolMax: 1,
  });
  return {
    list: () =>
      database.use("read stored offsets", async (session) => {
        const rows = await session.rows<{
          topic: string;
          partition: number;
          next_offset: string;
          epoch: string;
          owner: string | null;
          cluster_id: string | null;
          last_ms: string | null;
        }>(LIST);
        return rows.map((row) => ({
          topic: row.topic,
          partition: row.partition,
          nextOffset: Number(row.next_offset),
          epoch: Number(row.epoch),
          owner: row.owner,
          clusterId: row.cluster_id,
          lastRecordMs: row.last_ms === null ? null : Number(row.last_ms),
        }));
      }),
    move: (moves, clusterId) =>
      database.use("move stored offsets", (session) =>
        session.run(MOVE, [
          clusterId,
          moves.map(({ topic }) => topic),
          moves.map(({ partition }) => partition),
          moves.map(({ offset }) => offset),
        ]),
      ),
    close: database.close,
  };
}
