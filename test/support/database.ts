/** Databases of a test's own on the shared server, made, migrated and dropped again. */
import pg from "pg";
import { ulid } from "ulid";
import { migrate } from "../../src/adapters/timescale/migrate.js";
import {
  type ServiceEnv,
  SHARED_STACK,
  startOwnStack,
  withServices,
} from "./services.js";

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

export interface OpenDatabase extends TestDatabase {
  drop(): Promise<void>;
}

/** Runs a test against a database that nobody else uses. */
export async function withDatabase<T>(
  options: DatabaseOptions,
  work: (database: TestDatabase) => Promise<T>,
): Promise<T> {
  const database = await openDatabase(options);
  try {
    return await work(database);
  } finally {
    await database.drop();
  }
}

/** For several tests in turn; whoever opens it drops it. */
export async function openDatabase(
  options: DatabaseOptions,
): Promise<OpenDatabase> {
  const server = await openServer();
  const name = `test_${ulid().toLowerCase()}`;
  const url = databaseUrl(server.url, name);
  const drop = async () => {
    await asAdmin(server.url, (admin) =>
      admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
    );
    await server.stop();
  };
  try {
    await asAdmin(server.url, (admin) =>
      admin.query(`CREATE DATABASE ${name}`),
    );
    if (options.migrated !== false)
      await migrate({
        url,
        rawRetentionDays: options.rawRetentionDays ?? 30,
        dlqRetentionDays: 14,
        extension: options.extension ?? "auto",
        say: () => {},
      });
    await withoutJobs(url);
    const admin = await connectAdmin(url);
    return {
      url,
      admin,
      async drop() {
        await admin.end();
        await drop();
      },
    };
  } catch (error) {
    await drop();
    throw error;
  }
}

/** Why the TimescaleDB runs cannot be had here; null when they can. */
export async function whyNoTimescale(): Promise<string | null> {
  return withServices(["postgres"], ({ DATABASE_URL }) =>
    asAdmin(DATABASE_URL!, async (server) => {
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

/** Stops the database's own jobs, so that nothing is compressed, dropped or refreshed but by who is looking. */
export async function withoutJobs(url: string): Promise<void> {
  await asAdmin(url, async (admin) => {
    const { rowCount } = await admin.query(
      "SELECT FROM pg_extension WHERE extname = 'timescaledb'",
    );
    if (rowCount !== 0)
      await admin.query(
        "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000",
      );
  });
}

/** The URL of another database, or of another user, on the same server. */
export function databaseUrl(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

/** The runner's shared server, or one of our own. */
async function openServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const shared = process.env[SHARED_STACK];
  const stack = shared === undefined ? await startOwnStack(["postgres"]) : null;
  const env = stack?.env ?? (JSON.parse(shared!) as ServiceEnv);
  if (env.DATABASE_URL === undefined)
    throw new Error("the stack has no DATABASE_URL");
  return { url: env.DATABASE_URL, stop: async () => stack?.stop() };
}

async function connectAdmin(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "test",
  });
  // The query under way fails with it, and so does the test.
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function asAdmin<T>(
  url: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await connectAdmin(url);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
