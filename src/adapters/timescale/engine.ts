/** Whether a database's telemetry lives in TimescaleDB or in plain PostgreSQL. Decided once, at its first migration. */
import type pg from "pg";
import { reasonOf, TwinstreamError } from "../../errors.js";

export type Engine = "timescaledb" | "postgresql";

/** Older ones stopped at the first conflict of INSERT … ON CONFLICT DO NOTHING into a compressed chunk: rows were lost. */
const OLDEST_TIMESCALEDB = [2, 18, 1] as const;
const PLAIN =
  "raw rows go to plain day partitions, and hourly and daily figures are computed when they are asked for";

/** @throws TwinstreamError STORE_REFUSED for a TimescaleDB that is too old */
export async function chooseEngine(
  client: pg.Client,
  extension: "auto" | "never",
  say: (line: string) => void,
): Promise<Engine> {
  const settled = await settledEngine(client);
  const installed = await one(
    client,
    "SELECT extversion AS version FROM pg_extension WHERE extname = 'timescaledb'",
  );
  if (
    settled === "timescaledb" ||
    (settled === null && installed !== null && extension === "auto")
  ) {
    if (installed !== null) refuseOld(installed);
    return settled ?? (await withLicense(client, say));
  }
  if (settled === "postgresql") {
    say(`This database was set up without TimescaleDB: ${PLAIN}.`);
    return "postgresql";
  }
  if (extension === "never") return "postgresql";
  const available = await one(
    client,
    "SELECT default_version AS version FROM pg_available_extensions WHERE name = 'timescaledb'",
  );
  if (available === null) {
    say(`This PostgreSQL server has no TimescaleDB: ${PLAIN}.`);
    return "postgresql";
  }
  refuseOld(available);
  try {
    await client.query("CREATE EXTENSION IF NOT EXISTS timescaledb");
  } catch (error) {
    say(
      `TimescaleDB is on this server but could not be switched on (${reasonOf(error)}): ${PLAIN}. ` +
        "To have it, put timescaledb into shared_preload_libraries, restart the server, and migrate an empty database.",
    );
    return "postgresql";
  }
  return withLicense(client, say);
}

async function settledEngine(client: pg.Client): Promise<Engine | null> {
  const there = await one(
    client,
    "SELECT to_regclass('store.settings')::text AS version",
  );
  if (there === null) return null;
  return (await one(
    client,
    "SELECT engine AS version FROM store.settings",
  )) as Engine | null;
}

/** The Apache edition lacks continuous aggregates and policies. */
async function withLicense(
  client: pg.Client,
  say: (line: string) => void,
): Promise<Engine> {
  const license = await one(
    client,
    "SELECT current_setting('timescaledb.license', true) AS version",
  );
  if (license !== "apache") return "timescaledb";
  say(
    `This server's TimescaleDB is the Apache edition, which has no continuous aggregates: ${PLAIN}.`,
  );
  return "postgresql";
}

/** @throws TwinstreamError STORE_REFUSED */
export function refuseOld(version: string): void {
  const parts = version.split(/[.-]/).map(Number);
  for (const [place, least] of OLDEST_TIMESCALEDB.entries()) {
    const part = parts[place] ?? 0;
    if (part > least) return;
    if (part < least)
      throw new TwinstreamError(
        "STORE_REFUSED",
        `TimescaleDB ${version} loses rows when duplicates meet compressed chunks; update it to ${OLDEST_TIMESCALEDB.join(".")} or later (ALTER EXTENSION timescaledb UPDATE)`,
      );
  }
}

async function one(
  client: pg.Client,
  statement: string,
): Promise<string | null> {
  const { rows } = await client.query<{ version: string | null }>(statement);
  return rows[0]?.version ?? null;
}
