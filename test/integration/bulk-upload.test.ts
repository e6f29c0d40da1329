/** Uploads into a gateway of its own process: database, log and files as they are then, and after each of them was away. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { request as openRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  connectLog,
  type LogConnection,
} from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { createFilesystemStore } from "../../src/adapters/objects/filesystem.js";
import { createUploadDesk } from "../../src/adapters/timescale/uploads-desk.js";
import type { LogRecord } from "../../src/domain/message.js";
import { createSweeper } from "../../src/pipeline/sweeper.js";
import { databaseUrl } from "../support/database.js";
import { createMemoryObserver } from "../support/memory-readers.js";
import {
  freePort,
  type RoleProcess,
  runCommand,
  startRole,
} from "../support/roles.js";
import {
  type ServiceEnv,
  withOwnStack,
  withServices,
} from "../support/services.js";
import { until } from "../support/wait.js";

const uploads = suite("uploads into a gateway process");

const SERVICES = ["kafka", "redis", "postgres"] as const;
const HOUR_MS = 3_600_000;
const equipments = (count: number): Buffer =>
  Buffer.from(
    JSON.stringify(
      Array.from({ length: count }, (_, e) => ({
        equip_uuid: `equipment-${e}`,
        equip_nome: `Freezer ${e}`,
        sensor: Array.from({ length: 10 }, (__, r) => ({
          sensor_uuid: `sensor-${r}`,
          sensor_tipo: "temperatura",
          valor: e + r / 8,
          timestamp: new Date().toISOString(),
        })),
      })),
    ),
  );

interface Running {
  readonly role: RoleProcess;
  readonly database: pg.Client;
  readonly connection: LogConnection;
  readonly folder: string;
  readonly url: string;
  upload(
    body: Buffer,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ status: number; body: Readonly<Record<string, unknown>> }>;
  /** One sweep by a sweeper whose clock is ahead. */
  sweep(aheadMs: number): Promise<void>;
  /** Files below the store's folder. */
  files(): Promise<string[]>;
}

async function withGateway(
  shared: ServiceEnv,
  run: (running: Running) => Promise<void>,
): Promise<void> {
  const name = `bulk_${randomBytes(6).toString("hex")}`;
  const server = shared["DATABASE_URL"] ?? "";
  const admin = new pg.Client(server);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const folder = await mkdtemp(join(tmpdir(), "twinstream-uploads-"));
  const port = String(await freePort());
  const url = databaseUrl(server, name);
  const env = {
    ...shared,
    DATABASE_URL: url,
    HTTP_PORT: port,
    STORAGE_TYPE: "filesystem",
    STORAGE_PATH: folder,
  };
  const connection = connectLog({
    brokers: [shared["KAFKA_BROKERS"] ?? ""],
    clientId: "test",
    log: () => {},
  });
  const releasers: (() => Promise<unknown>)[] = [];
  try {
    const migrated = await runCommand(["migrate"], env);
    assert.is(migrated.code, 0, migrated.output);
    const database = new pg.Client(url);
    await database.connect();
    releasers.push(() => database.end());
    const role = await startRole("gateway", env);
    releasers.push(() => role.kill());
    await role.ready();
    await run({
      role,
      database,
      connection,
      folder,
      url: `http://127.0.0.1:${port}/api/v1/telemetry/bulk`,
      async upload(body, headers) {
        const address = `http://127.0.0.1:${port}/api/v1/telemetry/bulk`;
        const response = await fetch(address, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body,
        });
        return {
          status: response.status,
          body: (await response.json()) as Readonly<Record<string, unknown>>,
        };
      },
      async sweep(aheadMs) {
        const desk = createUploadDesk({
          url,
          name: "test",
          poolMin: 0,
          poolMax: 4,
        });
        const log = createLogWriter(connection);
        const objects = createFilesystemStore({ folder });
        const observer = createMemoryObserver();
        try {
          const sweeper = createSweeper({
            desk,
            objects,
            log,
            observer,
            clock: () => Date.now() + aheadMs,
            retentionDays: 7,
          });
          assert.is(await sweeper.sweep(), true);
          assert.equal(observer.events, []);
        } finally {
          await Promise.all([desk.close(), log.close(), objects.close()]);
        }
      },
      files: async () =>
        (await readdir(folder, { recursive: true, withFileTypes: true }))
          .filter((entry) => entry.isFile())
          .map((entry) => entry.name),
    });
  } finally {
    for (const release of releasers.toReversed()) await release();
    await rm(folder, { recursive: true, force: true });
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  }
}

/** Claim checks on `telemetry.raw` by claim id. */
async function claimChecks(
  connection: LogConnection,
): Promise<Map<string, LogRecord>> {
  const inspector = createLogInspector(connection);
  const found = new Map<string, LogRecord>();
  try {
    const bounds = await inspector.bounds("telemetry.raw");
    for (const [partition, { low, high }] of bounds.entries())
      await inspector.read(
        { topic: "telemetry.raw", partition, from: low, to: high },
        async (records) => {
          for (const record of records) {
            const { claim_id: id } = JSON.parse(String(record.value)) as {
              claim_id: string;
            };
            found.set(id, record);
          }
        },
        new AbortController().signal,
      );
    return found;
  } finally {
    await inspector.close();
  }
}

uploads("the object, the row and the claim check say the same", () =>
  withServices(SERVICES, (env) =>
    withGateway(env, async ({ upload, folder, connection, database, url }) => {
      const text = equipments(5000);
      for (const [body, headers] of [
        [text, {}],
        [gzipSync(text), { "content-encoding": "gzip" }],
      ] as const) {
        const { status, body: answer } = await upload(body, {
          ...headers,
          "x-request-id": "request-1",
        });
        assert.is(status, 202, JSON.stringify(answer));
        const key = String(answer["claim_check"]);
        const id = String(answer["claim_id"]);
        const stored = await readFile(join(folder, key));
        assert.equal(gunzipSync(stored), text);
        assert.is(answer["file_size"], stored.length);

        const record = (await claimChecks(connection)).get(id);
        assert.is(String(record!.key), "default");
        assert.equal(JSON.parse(String(record!.value)), {
          claim_check: key,
          storage_type: "filesystem",
          file_size: stored.length,
          original_size: text.length,
          claim_id: id,
          tenant: "default",
          user_id: "anonymous",
          request_id: "request-1",
          sha256: createHash("sha256").update(stored).digest("hex"),
        });
        assert.ok(record!.value!.length < 1024);

        const { rows } = await database.query(
          "SELECT state, announced, object_key, original_size::int AS size FROM claims WHERE claim_id = $1",
          [id],
        );
        assert.equal(rows, [
          {
            state: "stored",
            announced: true,
            object_key: key,
            size: text.length,
          },
        ]);
        const shown = await fetch(new URL(String(answer["status_url"]), url));
        const claim = (await shown.json()) as Record<string, unknown>;
        assert.is(claim["state"], "stored");
      }
    }),
  ),
);

uploads(
  "a gateway killed at half an upload leaves what a sweeper removes",
  () =>
    withServices(SERVICES, (env) =>
      withGateway(env, async ({ role, url, database, files, sweep }) => {
        const text = equipments(5000);
        const sent = openRequest(url, {
          method: "POST",
          headers: {
            "content-type": "application/json",
            "content-length": String(text.length),
          },
        });
        // The connection ends with the gateway.
        sent.on("error", () => {});
        sent.write(text.subarray(0, text.length / 2));
        const receiving = () =>
          database.query("SELECT FROM claims WHERE state = 'receiving'");
        await until(
          async () =>
            (await receiving()).rowCount === 1 && (await files()).length > 0,
          { withinMs: 10_000, what: "the upload to arrive" },
        );
        await role.kill();
        assert.is((await receiving()).rowCount, 1);
        await sweep(0);
        assert.is((await receiving()).rowCount, 1);
        await sweep(2 * HOUR_MS);
        assert.is((await receiving()).rowCount, 0);
        assert.equal(await files(), []);
      }),
    ),
);

uploads(
  "with the log away an upload is kept, and goes on once it answers",
  () =>
    withOwnStack(SERVICES, ({ env, services }) =>
      withGateway(env, async ({ upload, connection, database, sweep }) => {
        const text = equipments(100);
        await services.kafka.stop();
        const headers = { "idempotency-key": "file-1" };
        const answers = await Promise.all([
          upload(text, headers),
          upload(text, {}),
        ]);
        for (const { status, body } of answers) {
          assert.is(status, 503, JSON.stringify(body));
          assert.is(body["code"], "LOG_UNREACHABLE");
        }
        const { rows } = await database.query<{ claim_id: string }>(
          "SELECT claim_id FROM claims WHERE state = 'stored' AND NOT announced",
        );
        assert.is(rows.length, 2);

        await services.kafka.start();
        const again = await until(
          async () => {
            const answer = await upload(text, headers);
            return answer.status === 202 && answer;
          },
          { withinMs: 60_000, what: "the same upload to be taken" },
        );
        assert.ok(rows.some((row) => row.claim_id === again.body["claim_id"]));
        await sweep(2 * 60_000);
        const { rows: left } = await database.query(
          "SELECT FROM claims WHERE NOT announced",
        );
        assert.is(left.length, 0);
        const checks = await claimChecks(connection);
        for (const { claim_id: id } of rows) assert.ok(checks.has(id), id);
      }),
    ),
);

uploads.run();
