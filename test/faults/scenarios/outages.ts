/** A store that is away for long, or there and refusing: the database, its disk, its locks, the objects, the dead letters. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { connectLog } from "../../../src/adapters/kafka/connect.js";
import { ensureTopics } from "../../../src/adapters/kafka/topics.js";
import { TOPIC } from "../../../src/domain/names.js";
import type { Stack } from "../../support/services.js";
import { instantIn, least } from "../acts.js";
import type { Ground } from "../ground.js";
import { type Act, scenarios } from "../scenario.js";

const run = promisify(execFile);

const REFUSED = "uploads refused with 503 and Retry-After";
const HELD_BACK = "looks at the offsets while letters could not be kept";
const WAITED = "sessions seen waiting for the lock";
const READ_ONLY = "times that a processor said it may only read";
const AWAY = "seconds away under load";

/** Troughs of a heap that is flat are within so much of each other, bytes. */
const FLAT = 48 * 1024 * 1024;
const WEIGH_MS = 2000;

/** Heap of the processors while something is away: the second half's troughs are held against those of the first. */
async function weighed(ground: Ground, seconds: number): Promise<void> {
  const troughs = { first: Infinity, second: Infinity, peak: 0 };
  // Until its bounds are full it grows.
  const fillMs = Math.min(20_000, (seconds * 1000) / 4);
  const begun = performance.now();
  await pause(fillMs);
  for (;;) {
    const spent = performance.now() - begun;
    if (spent >= seconds * 1000) break;
    const heap = await ground.roles.total("nodejs_heap_size_used_bytes");
    const half = spent < (seconds * 1000 + fillMs) / 2 ? "first" : "second";
    if (heap > 0) {
      troughs[half] = Math.min(troughs[half], heap);
      troughs.peak = Math.max(troughs.peak, heap);
    }
    await pause(Math.min(WEIGH_MS, Math.max(0, seconds * 1000 - spent)));
  }
  const mib = (bytes: number) => Math.round(bytes / 1024 / 1024);
  ground.figure("heap trough, first half, MiB", mib(troughs.first));
  ground.figure("heap trough, second half, MiB", mib(troughs.second));
  ground.figure("heap peak meanwhile, MiB", mib(troughs.peak));
  if (troughs.second > troughs.first + FLAT)
    ground.violation(
      `the heap grew from ${mib(troughs.first)} to ${mib(troughs.second)} MiB while the database was away`,
    );
}

const databaseAway = (at: number, seconds: number): Act => ({
  at,
  to: "postgres",
  does: `clean stop of postgres, down for ${seconds} s`,
  async run(ground) {
    const { postgres } = ground.stack.services;
    const before = ground.load?.progress()?.sent ?? 0;
    await postgres.stop();
    ground.note("postgres stopped");
    await weighed(ground, seconds);
    const sent = (ground.load?.progress()?.sent ?? 0) - before;
    ground.figure("messages sent meanwhile", sent);
    if (sent > 0) ground.count(AWAY, seconds);
    await postgres.start();
    ground.note("postgres answers again");
    const behind = ground.eyes.behind();
    const fromMs = performance.now();
    ground.figure("messages behind at its return", behind);
    while (ground.eyes.behind() > ground.knobs.rate) {
      if (performance.now() - fromMs > 600_000) {
        ground.violation("it does not catch up within ten minutes");
        break;
      }
      await pause(500);
    }
    const took = (performance.now() - fromMs) / 1000;
    ground.figure("seconds to catch up", Math.round(took));
    ground.figure("messages a second then", Math.round(behind / took));
  },
});

/** One small upload of someone else's, to see the answer whole. */
async function tryUpload(ground: Ground): Promise<Response | null> {
  const [base] = ground.roles.gateways();
  try {
    return await fetch(`${base}/api/v1/telemetry/bulk`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify([
        {
          equip_uuid: "outage-1",
          sensor: Array.from({ length: 300 }, (_, n) => ({
            sensor_uuid: `s${n}`,
            sensor_tipo: "t",
            valor: n,
            timestamp: new Date().toISOString(),
          })),
        },
      ]),
      signal: AbortSignal.timeout(60_000),
    });
  } catch {
    return null;
  }
}

/** Uploads are tried all the while; each is refused with the time to come again, and none with another error. */
async function refusedMeanwhile(
  ground: Ground,
  seconds: number,
): Promise<void> {
  const untilMs = performance.now() + seconds * 1000;
  while (performance.now() < untilMs) {
    const answer = await tryUpload(ground);
    const text = answer === null ? "no answer" : await answer.text();
    if (answer?.status === 503 && answer.headers.has("retry-after"))
      ground.count(REFUSED);
    else if (answer !== null && answer.status !== 202)
      ground.violation(`an upload got ${answer.status}: ${text.slice(0, 300)}`);
    await pause(500);
  }
}

/** No claim is left half-way: all that were accepted are done, and what was refused has none that waits. */
async function noneHalfStored(ground: Ground): Promise<readonly string[]> {
  const { rows } = await ground.query<{ state: string; count: string }>(
    "SELECT state, count(*) FROM claims GROUP BY state ORDER BY state",
  );
  for (const { state, count } of rows)
    ground.figure(`claims ${state}`, Number(count));
  return rows
    .filter(({ state }) => state === "stored" || state === "processing")
    .map(({ state, count }) => `${count} claims are left ${state}`);
}

const folders = new WeakMap<Stack, string>();

/** A folder on a file system of 8 MiB of its own, where this account may mount one. */
async function smallDisk(
  stack: Stack,
  onEnd: Ground["onEnd"],
): Promise<Readonly<Record<string, string>>> {
  const folder = await mkdtemp(join(tmpdir(), "twinstream-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=8m", "twinstream", folder]);
  onEnd(async () => {
    await run("umount", ["-l", folder]);
    await rm(folder, { recursive: true, force: true });
  });
  folders.set(stack, folder);
  return { STORAGE_PATH: folder };
}

const diskFull = (at: number, seconds: number): Act => ({
  at,
  to: "the disk",
  does: `the disk of the object store is full for ${seconds} s`,
  async run(ground) {
    const folder = folders.get(ground.stack)!;
    const ballast = join(folder, "ballast");
    const { bavail, bsize } = await statfs(folder);
    await writeFile(ballast, Buffer.alloc(bavail * bsize)).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOSPC") throw error;
      },
    );
    ground.note(`${folder} is full`);
    try {
      await refusedMeanwhile(ground, seconds);
    } finally {
      await truncate(ballast, 0);
      ground.note("there is room again");
    }
  },
});

/** Holds a lock on tables of the database from a session of its own. */
async function locked(
  ground: Ground,
  seconds: number,
  table: string,
): Promise<void> {
  const client = new pg.Client({
    connectionString: ground.env["DATABASE_URL"],
    application_name: "someone else",
  });
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query("BEGIN");
    await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    ground.note(`${table} is locked`);
    const untilMs = performance.now() + seconds * 1000;
    while (performance.now() < untilMs) {
      const { rows } = await ground.query<{ n: number }>(
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name <> 'someone else'",
      );
      if (rows[0]!.n > 0) ground.count(WAITED);
      await pause(1000);
    }
    await client.query("ROLLBACK");
    ground.note("unlocked");
  } finally {
    await client.end();
  }
}

const chunkLocked = (at: number, seconds: number): Act => ({
  at,
  to: "postgres",
  does: `the newest chunk of the hypertable is locked for ${seconds} s`,
  async run(ground) {
    const { rows } = await ground.query<{ chunk: string }>(
      "SELECT tableoid::regclass::text AS chunk FROM store.telemetry_data ORDER BY time DESC LIMIT 1",
    );
    await locked(ground, seconds, rows[0]!.chunk);
  },
});

const readOnly = (at: number, seconds: number): Act => ({
  at,
  to: "postgres",
  does: `the database takes only reads for ${seconds} s`,
  async run(ground) {
    const name = new URL(ground.env["DATABASE_URL"]!).pathname.slice(1);
    const others =
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    await ground.query(
      `ALTER DATABASE "${name}" SET default_transaction_read_only = on`,
    );
    await ground.query(others);
    ground.note("the database is read-only");
    try {
      const said = () =>
        ground.roles
          .outputs()
          .reduce(
            (sum, { text }) => sum + text.split("read-only").length - 1,
            0,
          );
      const before = said();
      await pause(seconds * 1000);
      ground.count(READ_ONLY, said() - before);
    } finally {
      await ground.query(
        `BEGIN READ WRITE; ALTER DATABASE "${name}" RESET default_transaction_read_only; COMMIT`,
      );
      await ground.query(`BEGIN READ WRITE; ${others}; COMMIT`);
      ground.note("it takes writes again");
    }
  },
});

/** While letters cannot be kept, nothing behind a poisoned message may be told as stored. */
async function offsetsHold(ground: Ground, seconds: number): Promise<void> {
  const untilMs = performance.now() + seconds * 1000;
  while (performance.now() < untilMs) {
    await ground.invariant.check("letters away");
    ground.count(HELD_BACK);
    await pause(1000);
  }
}

const lettersTableAway = (at: number, seconds: number): Act => ({
  at,
  to: "letters",
  does: `ingest_errors is locked for ${seconds} s`,
  run: (ground) => locked(ground, seconds, "ingest_errors"),
});

const lettersTopicAway = (at: number, seconds: number): Act => ({
  at,
  to: "letters",
  does: `the topic of the dead letters is gone for ${seconds} s`,
  async run(ground) {
    const connection = connectLog({
      brokers: [ground.config.KAFKA_BROKERS],
      clientId: "fault-suite",
      log: () => undefined,
    });
    const admin = connection.kafka.admin();
    await admin.connect();
    try {
      await admin.deleteTopics({ topics: [TOPIC.dataDeadLetters] });
      ground.note(`${TOPIC.dataDeadLetters} is gone`);
      await offsetsHold(ground, seconds);
    } finally {
      await admin.disconnect();
      await ensureTopics(connection, {
        partitions: ground.config.IOT_PARTITIONS,
        replication: 1,
      });
      ground.note(`${TOPIC.dataDeadLetters} is there again`);
    }
  },
});

export const OUTAGES = scenarios(
  {
    name: "database-away",
    does: "PostgreSQL is stopped for ten minutes under the full load",
    expects:
      "the heap stays flat, devices go on being acknowledged, nothing is lost, and it catches up",
    knobs: { seconds: 660 },
    schedule: (_draw, { seconds }) => [
      databaseAway(seconds * 0.04, Math.max(8, seconds * 0.91)),
    ],
    missed: least(AWAY, 1),
    deadline: 900,
  },
  {
    name: "objects-away",
    does: "the object store is stopped for half a minute, under uploads",
    expects:
      "uploads get 503 with Retry-After; nothing is half-stored; afterwards every accepted one is done",
    roles: { gateway: 1, worker: 1 },
    services: ["minio"],
    uploads: true,
    knobs: { rate: 200, devices: 100 },
    schedule: (draw, { seconds }) => [
      {
        at: instantIn(draw, 0.15 * seconds, 0.25 * seconds),
        to: "minio",
        does: `clean stop of minio, down for ${Math.round(0.5 * seconds)} s`,
        async run(ground) {
          const { minio } = ground.stack.services;
          await minio.stop();
          ground.note("minio stopped");
          await refusedMeanwhile(ground, 0.5 * seconds);
          await minio.start();
          ground.note("minio answers again");
        },
      },
    ],
    also: noneHalfStored,
    missed: least(REFUSED, 2),
  },
  {
    name: "disk-full",
    does: "the disk of the filesystem store fills up, and has room again",
    expects:
      "uploads get 503 with Retry-After; nothing is half-stored; afterwards they are taken again",
    roles: { gateway: 1, worker: 1 },
    uploads: true,
    knobs: { rate: 200, devices: 100, seconds: 30 },
    prepare: smallDisk,
    schedule: (draw, { seconds }) => [
      diskFull(instantIn(draw, 0.15 * seconds, 0.25 * seconds), 0.4 * seconds),
    ],
    also: noneHalfStored,
    missed: least(REFUSED, 2),
  },
  {
    name: "database-read-only",
    does: "the database takes only reads, as one that has become a replica",
    expects: "lanes wait and say so; nothing is dead-lettered for it",
    schedule: (draw, { seconds }) => [
      readOnly(instantIn(draw, 0.2 * seconds, 0.3 * seconds), 0.25 * seconds),
    ],
    missed: least(READ_ONLY, 1),
  },
  {
    name: "chunk-locked",
    does: "someone else locks the newest chunk of the hypertable for 30 s",
    expects:
      "lanes wait, heartbeats go on, memory is bounded; then all is stored",
    schedule: (draw, { seconds }) => [
      chunkLocked(
        instantIn(draw, 0.2 * seconds, 0.3 * seconds),
        Math.min(30, 0.5 * seconds),
      ),
    ],
    missed: least(WAITED, 3),
  },
  {
    name: "letters-away",
    does: "dead letters cannot be kept, first in their topic, then in their table, while 5 % is poison",
    expects:
      "nothing behind a poisoned message is told as stored; afterwards each letter is there once",
    fleet: () => ({ poison: 0.05 }),
    schedule: (_draw, { seconds }) => [
      lettersTopicAway(0.15 * seconds, 0.2 * seconds),
      lettersTableAway(0.6 * seconds, 0.15 * seconds),
    ],
    missed: least(HELD_BACK, 1),
  },
);
