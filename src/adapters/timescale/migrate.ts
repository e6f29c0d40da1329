/**
 * Brings a database to what this version needs: the files of `sql/` that it has not had, in order, then everything that
 * follows from settings, set again each time. Safe to run by several processes at once; a second one waits and finds nothing
 * to do.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runner } from "node-pg-migrate";
import pg from "pg";
import { TwinstreamError } from "../../errors.js";
import { translate } from "./database-errors.js";
import { chooseEngine, type Engine } from "./engine.js";
import { setPolicies } from "./policies.js";
import { addressed } from "./secure.js";

export interface MigrateOptions {
  /** Its user owns what is made; it must be allowed to create roles (once a server) and the extension (once a database). */
  readonly url: string;
  /** 0 keeps raw rows for ever. */
  readonly rawRetentionDays: number;
  /** 0 keeps dead letters for ever. */
  readonly dlqRetentionDays: number;
  /** Told in sentences what is done and what a person should know. */
  readonly say: (line: string) => void;
  /** `never` makes plain tables although the server has TimescaleDB. */
  readonly extension?: "auto" | "never";
}

export interface Migrated {
  readonly engine: Engine;
  /** Files applied by this run. */
  readonly applied: readonly string[];
}

const ROLES = [
  "twinstream_writer",
  "twinstream_reader",
  "twinstream_gateway",
  "twinstream_operator",
];
/** Of another database's migration at the same moment; the roles are the server's. */
const GRANT_TRIES = 10;

/** @throws TwinstreamError STORE_UNREACHABLE, or STORE_REFUSED with what the database said */
export async function migrate(options: MigrateOptions): Promise<Migrated> {
  const client = new pg.Client({
    ...addressed(options.url),
    application_name: "twinstream migrate",
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  let lost: Error | undefined;
  client.on("error", (error) => {
    lost = error; // the statement under way fails with it
  });
  try {
    await client.connect();
    await client.query(
      "SET timezone = 'UTC'; SET client_min_messages = warning",
    );
    await client.query(
      "SELECT pg_advisory_lock(hashtext('twinstream.migrate'))",
    );
    const engine = await chooseEngine(
      client,
      options.extension ?? "auto",
      options.say,
    );
    const applied = await applyFiles(client, engine, options.say);
    await joinRoles(client);
    await setPolicies(client, engine, options);
    return { engine, applied };
  } catch (error) {
    throw translate(lost ?? error, "migrate");
  } finally {
    // Ends the advisory lock too. After a failure the connection may be beyond a farewell.
    await client.end().catch(() => {});
  }
}

async function applyFiles(
  client: pg.Client,
  engine: Engine,
  say: (line: string) => void,
): Promise<string[]> {
  const other = engine === "timescaledb" ? "postgresql" : "timescaledb";
  const told: string[] = [];
  const quiet = () => {};
  const logger = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (line: string) => told.push(line),
  };
  try {
    const applied = await runner({
      dbClient: client,
      dir: sqlFolder(),
      direction: "up",
      migrationsSchema: "store",
      createMigrationsSchema: true,
      migrationsTable: "migrations",
      ignorePattern: `(?:\\..*|.*\\.${other}\\.sql|(?!.*\\.sql$).*)`,
      singleTransaction: false,
      noLock: true, // ours is held already, over more than the files
      logger,
    });
    for (const { name } of applied) say(`applied ${name}`);
    return applied.map(({ name }) => name);
  } catch (error) {
    if (told.length > 0 && error instanceof Error)
      error.message = told.join("\n");
    throw error;
  }
}

/** The user that migrates becomes a member of every role, so that one URL is enough on a laptop. */
async function joinRoles(client: pg.Client): Promise<void> {
  for (const role of ROLES)
    for (let tries = 1; ; tries++)
      try {
        await client.query(
          `DO $$ BEGIN IF NOT pg_has_role(current_user, '${role}', 'MEMBER') THEN GRANT ${role} TO current_user; END IF; END $$`,
        );
        break;
      } catch (error) {
        const translated = translate(error, `grant ${role}`);
        const passing =
          translated instanceof TwinstreamError && translated.canRetry;
        if (!passing || tries === GRANT_TRIES) throw translated;
      }
}

/** `sql/` stands at the root of the package, above this module wherever it was built to, or above the working directory. */
export function sqlFolder(): string {
  for (const start of [dirname(fileURLToPath(import.meta.url)), process.cwd()])
    for (
      let folder = start;
      folder !== dirname(folder);
      folder = dirname(folder)
    )
      if (existsSync(join(folder, "sql", "0001_roles.sql")))
        return join(folder, "sql");
  throw new TwinstreamError(
    "INTERNAL",
    "the folder sql/ with the migrations is missing from this installation",
  );
}
