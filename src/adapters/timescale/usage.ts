/** What the database has used of what it may, for `twinstream capacity`. */
import { connectDatabase } from "./connect.js";

export interface DatabaseUsage {
  readonly connections: number;
  readonly mostConnections: number;
  /** The whole database. */
  readonly bytes: number;
  readonly devices: number;
  readonly sensors: number;
}

/** @throws TwinstreamError STORE_UNREACHABLE */
export async function readDatabaseUsage(url: string): Promise<DatabaseUsage> {
  const database = connectDatabase({
    url,
    name: "capacity",
    role: null,
    poolMin: 0,
    poolMax: 1,
  });
  try {
    return await database.use("read the database's usage", async (session) => {
      // Estimates of the planner where counting would read a table of millions.
      const [usage] = await session.rows<DatabaseUsage>(
        `SELECT (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
                current_setting('max_connections')::int AS "mostConnections",
                pg_database_size(current_database())::float8 AS bytes,
                (SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'public.equipments'::regclass) AS devices,
                (SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'public.sensors'::regclass) AS sensors`,
      );
      return usage!;
    });
  } finally {
    await database.close();
  }
}
