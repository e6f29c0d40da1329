/** Databases of a test's own on the shared server, made, migrated and dropped again. */
import pg from "pg";
import { ulid } from "ulid";
import { migrate } from "../../src/adapters/timescale/migrate.js";
import { withServices } from "./services.js";

export interface TestDatabase {
  readonly url: string;
  /** A connection of the server's superuser, which sees everything. */
  readonly admin: pg.Client;
}

export interface DatabaseOptions {
  /** `never` for plain PostgreSQL. */
  readonly extension?: "auto" | "never";
  readonly rawRetentionDays?: number;
  /** False for an empty database. */
  readonly migrated?: boolean;
}

/** Runs a test against a database that nobody else uses. */
export async function withDatabase<T>(
  options: DatabaseOptions,
  work: (database: TestDatabase) => Promise<T>,
): Promise<T> {
  return withServer(async (serverUrl) => {
    const name = `test_${ulid().toLowerCase()}`;
    await asAdmin(serverUrl, (server) =>
      server.query(`CREATE DATABASE ${name}`),
    );
    const url = databaseUrl(serverUrl, name);
    try {
      if (options.migrated !== false)
        await migrate({
          url,
          rawRetentionDays: options.rawRetentionDays ?? 30,
          dlqRetentionDays: 14,
          extension: options.extension ?? "auto",
          say: () => {},
        });
      return await asAdmin(url, (admin) => work({ url, admin }));
    } finally {
      await asAdmin(serverUrl, (server) =>
        server.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
      );
    }
  });
}

/** Why the TimescaleDB runs cannot be had here; null when they can. */
export async function whyNoTimescale(): Promise<string | null> {
  return withServer((url) =>
    asAdmin(url, async (server) => {
      const { rows } = await server.query<{ loaded: boolean }>(
        `SELECT current_setting('shared_preload_libraries') LIKE '%timescaledb%' AS loaded
         FROM pg_available_extensions WHERE name = 'timescaledb'`,
      );
      if (rows.length === 0) return "this PostgreSQL server has no TimescaleDB";
      return rows[0]!.loaded
        ? null
        : "TimescaleDB is not in shared_preload_libraries";
    }),
  );
}

/** The URL of another database, or of another user, on the same server. */
export function databaseUrl(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

async function withServer<T>(work: (url: string) => Promise<T>): Promise<T> {
  return withServices(["postgres"], ({ DATABASE_URL }) => {
    if (DATABASE_URL === undefined)
      throw new Error("the stack has no DATABASE_URL");
    return work(DATABASE_URL);
  });
}

async function asAdmin<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "test",
  });
  let lost: Error | undefined;
  client.on("error", (error) => {
    lost = error; // the query under way fails with it
  });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => lost);
  }
}
