/** How a fleet stands, in one transaction: as twinstream_reader, within its tenant but for the lanes' positions. */
import type { FleetReader } from "../../ports.js";
import { connectDatabase } from "./connect.js";

const DEVICES = `
  SELECT count(*)::int AS known, count(*) FILTER (WHERE quarantined_until > now())::int AS quarantined
  FROM equipments WHERE tenant_id = $1`;
const LETTERS = `
  SELECT count(DISTINCT (log_topic, log_partition, log_offset))::int AS messages FROM ingest_errors
  WHERE tenant_id = $1 AND state IN ('open', 'replaying')`;
const POSITIONS = "SELECT topic, partition, next_offset FROM stream_offsets";

/** Connects with the first call, not here. */
export function createFleetReader(options: {
  readonly url: string;
  /** Shown in pg_stat_activity, after `twinstream`. */
  readonly name: string;
  readonly poolMax: number;
}): FleetReader {
  const database = connectDatabase({
    ...options,
    role: "twinstream_reader",
    poolMin: 0,
  });
  return {
    standing: (tenant) =>
      database.asTenant(tenant, "read how a fleet stands", async (session) => {
        const [devices] = await session.rows<{
          known: number;
          quarantined: number;
        }>(DEVICES, [tenant]);
        const [letters] = await session.rows<{ messages: number }>(LETTERS, [
          tenant,
        ]);
        const positions = await session.rows<{
          topic: string;
          partition: number;
          next_offset: string;
        }>(POSITIONS);
        return {
          known: devices!.known,
          quarantined: devices!.quarantined,
          deadLetters: letters!.messages,
          positions: positions.map(({ topic, partition, next_offset }) => ({
            topic,
            partition,
            nextOffset: Number(next_offset),
          })),
        };
      }),
    close: () => database.close(),
  };
}
