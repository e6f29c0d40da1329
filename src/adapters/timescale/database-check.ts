/** Whether the database is one we can work with, and has this version's schema. */
import { readdir } from "node:fs/promises";
import { advice, type Finding, fine, wrong } from "../../domain/finding.js";
import { connectDatabase, type Session } from "./connect.js";
import { sqlFolder } from "./migrate.js";

/** NULLS NOT DISTINCT and security_invoker views come with it. */
const OLDEST_MAJOR = 15;
const DEADLINE_MS = 5000;
const MIGRATE = "run: twinstream migrate";

/** @throws TwinstreamError STORE_UNREACHABLE, STORE_REFUSED */
export async function checkDatabase(options: {
  url: string;
  /** A read replica may be behind and takes no writes. */
  replica: boolean;
}): Promise<Finding[]> {
  const database = connectDatabase({
    url: options.url,
    name: "check",
    role: null,
    poolMin: 0,
    poolMax: 1,
    deadlineMs: DEADLINE_MS,
  });
  try {
    return await database.use("look at the database", async (session) => [
      await checkServer(session),
      ...(options.replica ? [] : await checkWritable(session)),
      ...(await checkSchema(session)),
    ]);
  } finally {
    await database.close();
  }
}

async function checkServer(session: Session): Promise<Finding> {
  const version = await text(
    session,
    "SELECT current_setting('server_version') AS value",
  );
  return Number.parseInt(version ?? "", 10) < OLDEST_MAJOR
    ? wrong(
        `is PostgreSQL ${version}`,
        `use PostgreSQL ${OLDEST_MAJOR} or later`,
      )
    : fine(`is PostgreSQL ${version}`);
}

async function checkWritable(session: Session): Promise<Finding[]> {
  const recovering = await text(
    session,
    "SELECT pg_is_in_recovery()::text AS value",
  );
  return recovering === "true"
    ? [
        wrong(
          "is a replica, which takes no writes",
          "point DATABASE_URL at the primary (and DATABASE_READ_URL at the replica)",
        ),
      ]
    : [];
}

async function checkSchema(session: Session): Promise<Finding[]> {
  const migrated = await text(
    session,
    "SELECT to_regclass('store.migrations')::text AS value",
  );
  if (migrated === null) return [wrong("has no twinstream schema", MIGRATE)];
  const engine = await text(
    session,
    "SELECT engine AS value FROM store.settings",
  );
  const applied = new Set(
    (
      await session.rows<{ name: string }>("SELECT name FROM store.migrations")
    ).map(({ name }) => name),
  );
  const pending = (await filesFor(engine)).filter((name) => !applied.has(name));
  const findings = [
    pending.length > 0
      ? wrong(`has not had ${pending.join(", ")}`, MIGRATE)
      : fine("has this version's schema"),
  ];
  const extension = await text(
    session,
    "SELECT extversion AS value FROM pg_extension WHERE extname = 'timescaledb'",
  );
  findings.push(
    engine === "timescaledb"
      ? fine(`uses TimescaleDB ${extension}`)
      : advice(
          "was set up without TimescaleDB: hourly and daily figures are computed when they are asked for",
          "nothing has to be done; for speed over long times use a server with TimescaleDB and migrate an empty database",
        ),
  );
  return findings;
}

/** Names of the migrations that a database of this engine has, as node-pg-migrate notes them. */
async function filesFor(engine: string | null): Promise<string[]> {
  const other = engine === "timescaledb" ? "postgresql" : "timescaledb";
  return (await readdir(sqlFolder()))
    .filter((file) => file.endsWith(".sql") && !file.endsWith(`.${other}.sql`))
    .map((file) => file.slice(0, -".sql".length))
    .toSorted();
}

async function text(
  session: Session,
  statement: string,
): Promise<string | null> {
  const [row] = await session.rows<{ value: string | null }>(statement);
  return row?.value ?? null;
}
