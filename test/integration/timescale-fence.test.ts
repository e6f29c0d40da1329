import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import { TwinstreamError } from "../../src/errors.js";
import {
  change,
  claimLane,
  COMMANDS,
  DATA,
  device,
  knownSensor,
  moved,
  NOW_US,
  PARTITION,
  row,
  sensor,
  sentNothing,
} from "../conformance/telemetry-store-batches.js";
import { type TestDatabase, withDatabase } from "../support/database.js";
import { withTcpProxy } from "../support/tcp-proxy.js";
import { until, within } from "../support/wait.js";

const fence = suite("the fence under failures");
const PATIENCE_MS = 200;

const storeAt = (url: string, over: { deadlineMs?: number } = {}) =>
  createTelemetryStore({
    url,
    name: "fence test",
    poolMin: 0,
    poolMax: 4,
    claimPatienceMs: PATIENCE_MS,
    ...over,
  });

/** A client that holds the partition's fence rows and does nothing more. */
async function withHolder<T>(
  { url }: TestDatabase,
  applicationName: string,
  work: (holder: { release(): Promise<void>; ended(): boolean }) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: applicationName,
  });
  let ended = false;
  client.on("error", () => {
    ended = true;
  });
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query(
      "SELECT FROM stream_offsets WHERE partition = $1 FOR UPDATE",
      [PARTITION],
    );
    return await work({
      release: async () => {
        await client.query("COMMIT");
      },
      ended: () => ended,
    });
  } finally {
    await client.end();
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    return error instanceof TwinstreamError ? error.code : String(error);
  }
}

fence(
  "a claim ends the backend of ours that holds its lock and does not go on",
  async () => {
    await withDatabase({ extension: "never" }, async (database) => {
      const store = storeAt(database.url);
      try {
        await store.claim([COMMANDS, DATA], PARTITION, "one");
        const bystander = new pg.Client({
          connectionString: database.url,
          application_name: "twinstream bystander",
        });
        let harmed: Error | undefined;
        bystander.on("error", (error) => {
          harmed = error;
        });
        await bystander.connect();
        await withHolder(database, "twinstream stalled", async (holder) => {
          const claims = await within(
            10_000,
            store.claim([COMMANDS, DATA], PARTITION, "two"),
            "the claim",
          );
          assert.equal(
            claims.map((claim) => claim.epoch),
            [2, 2],
          );
          await until(holder.ended, {
            withinMs: 5_000,
            what: "the holder's backend is gone",
          });
          // Whoever does not hold the lock is left alone.
          await bystander.query("SELECT 1");
          assert.is(harmed, undefined);
          await bystander.end();
        });
      } finally {
        await store.close();
      }
    });
  },
);

fence(
  "a claim waits for a stranger's lock as long as the stranger likes",
  async () => {
    await withDatabase({ extension: "never" }, async (database) => {
      const store = storeAt(database.url);
      try {
        await store.claim([COMMANDS, DATA], PARTITION, "one");
        await withHolder(database, "psql", async (holder) => {
          const claiming = store.claim([COMMANDS, DATA], PARTITION, "two");
          await until(
            async () => {
              const { rows } = await database.admin.query<{ waited: boolean }>(
                `SELECT now() - query_start > $1 * interval '1 millisecond' AS waited FROM pg_stat_activity
               WHERE application_name LIKE 'twinstream %' AND wait_event_type = 'Lock'`,
                [3 * PATIENCE_MS],
              );
              return rows[0]?.waited;
            },
            {
              withinMs: 10_000,
              what: "the claim has run out of patience three times",
            },
          );
          assert.not(holder.ended());
          await holder.release();
          assert.is((await within(10_000, claiming, "the claim"))[0]!.epoch, 2);
        });
      } finally {
        await store.close();
      }
    });
  },
);

fence(
  "a flush whose COMMIT took effect but whose answer was lost says already when it is tried again",
  async () => {
    await withDatabase({ extension: "never" }, async ({ url, admin }) => {
      await withTcpProxy(url, async (proxy) => {
        const store = storeAt(proxy.url);
        try {
          const { dev, temp } = await knownSensor(store);
          const lane = await claimLane(store);
          const batch = lane.batch(3, {
            changes: [
              change(dev, {
                rows: [row(temp, NOW_US, 1), row(temp, NOW_US + 1, 2)],
              }),
            ],
          });
          // The next thing that the server says is its answer to COMMIT.
          const first = store.flush(
            batch,
            async () => void proxy.loseNextAnswer(),
          );
          assert.is(await codeOf(first), "STORE_UNREACHABLE");
          const again = await until(() => store.flush(batch, sentNothing), {
            withinMs: 5_000,
            what: "the second try",
          });
          assert.equal(again, { fence: "already" });
          const { rows } = await admin.query(
            "SELECT FROM store.telemetry_data",
          );
          assert.is(rows.length, 2);
        } finally {
          await store.close();
        }
      });
    });
  },
);

fence(
  "a COPY that stalls on its way is given up, its backend ended and its lock free",
  async () => {
    await withDatabase({ extension: "never" }, async ({ url, admin }) => {
      const healthy = storeAt(url);
      try {
        await withTcpProxy(url, async (proxy) => {
          const store = storeAt(proxy.url, { deadlineMs: 1_000 });
          const dev = device("dev-1");
          const note = sensor(dev, "note", "text");
          await store.register(PARTITION, [dev], [note]);
          const lane = await claimLane(store);
          const flushed = (at: number) => ({
            changes: [
              change(dev, {
                rows: [row(note, NOW_US + at, "x".repeat(50_000))],
              }),
            ],
          });
          moved(await lane.flush(1, flushed(0)));
          proxy.stall("up");
          assert.is(
            await codeOf(
              within(20_000, lane.flush(1, flushed(1)), "the flush gives up"),
            ),
            "STORE_UNREACHABLE",
          );
          const claims = await within(
            10_000,
            healthy.claim([COMMANDS, DATA], PARTITION, "two"),
            "the claim",
          );
          assert.is(claims[1]!.nextOffset, 1);
          // What was stalled is cut; new connections go through.
          assert.equal(await lane.flush(1, flushed(1)), { fence: "lost" });
          const { rows } = await admin.query(
            "SELECT FROM store.telemetry_data",
          );
          assert.is(rows.length, 1);
          await store.close();
        });
      } finally {
        await healthy.close();
      }
    });
  },
);

fence(
  "a backend ended in the middle of a flush costs that flush only",
  async () => {
    await withDatabase({ extension: "never" }, async ({ url, admin }) => {
      const store = storeAt(url);
      try {
        const { dev, temp } = await knownSensor(store);
        const lane = await claimLane(store);
        const over = {
          changes: [change(dev, { rows: [row(temp, NOW_US, 1)] })],
        };
        const ended = lane.flush(1, over, async () => {
          await admin.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'twinstream %'",
          );
        });
        assert.is(await codeOf(ended), "STORE_UNREACHABLE");
        assert.is(moved(await lane.flush(1, over)).stored, 1);
      } finally {
        await store.close();
      }
    });
  },
);

fence(
  "a server that is away can be tried again; a database without our schema cannot",
  async () => {
    const away = storeAt("postgres://nobody@127.0.0.1:1/none");
    assert.is(await codeOf(away.ping()), "STORE_UNREACHABLE");
    await away.close();
    await withDatabase({ migrated: false }, async ({ url }) => {
      const store = storeAt(url);
      assert.is(await codeOf(store.ping()), "STORE_NOT_MIGRATED");
      assert.is(
        await codeOf(store.claim([DATA], 0, "one")),
        "STORE_NOT_MIGRATED",
      );
      await store.close();
    });
  },
);

fence.run();
