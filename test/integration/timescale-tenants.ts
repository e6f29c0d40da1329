/** Two tenants in one database, and people who log in to it. */
import pg from "pg";
import { ulid } from "ulid";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import {
  ack,
  change,
  claimLane,
  command,
  device,
  event,
  letter,
  moved,
  NOW_US,
  PARTITION,
  row,
  sensor,
} from "../conformance/telemetry-store-batches.js";
import { type TestDatabase, withDatabase } from "../support/database.js";

const TEN_DAYS_US = 10 * 86_400_000_000;

export interface Tenancy extends TestDatabase {
  /** A query of a user who has logged in with nothing but this role, with app.tenant_id as given. */
  as(
    role: "twinstream_reader" | "twinstream_operator",
    tenant: string | null,
    sql: string,
  ): Promise<Record<string, unknown>[]>;
  /** The URL of a user of this role. */
  userOf(role: string): Promise<string>;
}

/** Two tenants with one device each and something in every table. */
export async function withTenants(
  extension: "auto" | "never",
  work: (tenancy: Tenancy) => Promise<void>,
): Promise<void> {
  await withDatabase({ extension }, async (database) => {
    const users: string[] = [];
    const userOf = async (role: string) => {
      const user = `test_${ulid().toLowerCase()}`;
      users.push(user);
      await database.admin.query(
        `CREATE ROLE ${user} LOGIN PASSWORD 'test' IN ROLE ${role}`,
      );
      const url = new URL(database.url);
      url.username = user;
      url.password = "test";
      return url.href;
    };
    try {
      await database.admin.query(
        "INSERT INTO tenants (tenant_id) VALUES ('acme'), ('zeta')",
      );
      const store = createTelemetryStore({
        url: await userOf("twinstream_writer"),
        name: "tenancy test",
        poolMin: 0,
        poolMax: 2,
      });
      const lane = await claimLane(store);
      for (const [i, tenant] of ["acme", "zeta"].entries()) {
        const dev = device("dev-1", tenant);
        const sensors = [
          sensor(dev, "temp"),
          sensor(dev, "secret", "text"),
        ] as const;
        await store.register(PARTITION, [dev], sensors);
        moved(
          await lane.flush(1, {
            changes: [
              change(dev, {
                rows: [
                  row(sensors[0], NOW_US, i),
                  row(sensors[0], NOW_US - TEN_DAYS_US, i),
                  row(sensors[1], NOW_US, `${tenant}'s`),
                ],
                commands: [command(`c-${tenant}`)],
                acks: [ack(dev, `c-${tenant}`)],
                events: [event(dev)],
                deadLetters: [letter(100 + i, { tenant })],
              }),
            ],
            deadLetters: [letter(200 + i, { tenant: null, deviceId: null })],
            presence: [
              { device: dev, seenUs: NOW_US, online: true, cause: null },
            ],
          }),
        );
      }
      await store.close();
      const urls = new Map<string, string>();
      await work({
        ...database,
        userOf,
        async as(role, tenant, sql) {
          const url = urls.get(role) ?? (await userOf(role));
          urls.set(role, url);
          const client = new pg.Client({ connectionString: url });
          await client.connect();
          try {
            if (tenant !== null)
              await client.query(
                "SELECT set_config('app.tenant_id', $1, false)",
                [tenant],
              );
            return (await client.query<Record<string, unknown>>(sql)).rows;
          } finally {
            await client.end();
          }
        },
      });
    } finally {
      // A role can only go once nothing in this database is granted to it; membership goes with it.
      for (const user of users) await database.admin.query(`DROP ROLE ${user}`);
    }
  });
}
