/** A back-up of the database, taken while everything runs, is restored into a new one; what came later is on the log. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { databaseUrl } from "../support/database.js";
import { withRunning } from "../support/fleet.js";
import { runCommand, startRole } from "../support/roles.js";
import { until } from "../support/wait.js";

const run = promisify(execFile);
const LOAD = ["--devices", "20", "--rate", "400", "--messages", "400"];
const test = suite("back-up and restore");

/** As deploy/backup.md has it. */
async function restore(url: string, file: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rowCount } = await client.query(
      "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'",
    );
    const timescale = rowCount === 1;
    if (timescale) {
      await client.query("CREATE EXTENSION IF NOT EXISTS timescaledb");
      await client.query("SELECT timescaledb_pre_restore()");
    }
    await run("pg_restore", ["--dbname", url, "--no-owner", file]).catch(
      (error: { stderr: string }) => {
        // The extension is there already, and its own comment stays.
        const errors = error.stderr
          .split("\n")
          .filter((line) => /error:/.test(line) && !/extension/.test(line));
        assert.equal(errors, []);
      },
    );
    if (timescale) await client.query("SELECT timescaledb_post_restore()");
  } finally {
    await client.end();
  }
}

test("a restored database goes on where it was saved, and has every reading in the end", async () => {
  await withRunning({}, async (running) => {
    const { env, database, folder } = running;
    await running.start("bridge");
    const processor = await running.start("processor");
    await running.simulate(LOAD);
    await running.settled();
    const file = join(folder, "twinstream.dump");
    const url = env["DATABASE_URL"]!;
    await run("pg_dump", ["--format", "custom", "--file", file, url]);
    const saved = (await running.rows("sim-%")).length;
    await running.simulate(LOAD);
    await running.settled();
    const all = await running.rows("sim-%");
    assert.ok(all.length > saved, "the back-up is older than the data");
    await processor.stop();

    await database.query("CREATE DATABASE restored");
    const restored = { ...env, DATABASE_URL: databaseUrl(url, "restored") };
    await restore(restored.DATABASE_URL, file);
    const migrated = await runCommand(["migrate"], restored);
    assert.is(migrated.code, 0, migrated.output);
    const client = new pg.Client(restored.DATABASE_URL);
    await client.connect();
    const count = async (): Promise<number> =>
      Number(
        (
          await client.query(
            "SELECT count(*) AS n FROM ts_measure WHERE device_id LIKE 'sim-%'",
          )
        ).rows[0].n,
      );
    try {
      assert.is(await count(), saved, "as it was when it was saved");
      const again = await startRole("processor", restored);
      try {
        await until(async () => (await count()) === all.length, {
          withinMs: 60_000,
          what: "the rows since the back-up, from the log",
        });
        const verified = await runCommand(["ledger", "verify"], restored);
        assert.is(verified.code, 0, verified.output);
        // What an operator does who is in doubt changes nothing.
        const rewound = await runCommand(
          ["offsets", "rewind", "--to", "earliest"],
          restored,
        );
        assert.is(rewound.code, 0, rewound.output);
        await until(
          async () => {
            const listed = await runCommand(
              ["offsets", "list", "--json"],
              restored,
            );
            const standing = JSON.parse(listed.output) as {
              nextOffset: number;
              high: number;
            }[];
            return standing.every(
              ({ nextOffset, high }) => nextOffset === high || high === 0,
            );
          },
          { withinMs: 60_000, what: "the log to be read once more" },
        );
        assert.is(await count(), all.length);
        const twice = await runCommand(["ledger", "verify"], restored);
        assert.is(twice.code, 0, twice.output);
      } finally {
        await again.kill();
      }
    } finally {
      await client.end();
      await database.query("DROP DATABASE restored WITH (FORCE)");
    }
  });
});

test.run();
