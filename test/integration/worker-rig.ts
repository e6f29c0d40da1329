/** Uploads as the gateway leaves them, for real workers on a database of their own. */
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import pg from "pg";
import { ulid } from "ulid";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { createFilesystemStore } from "../../src/adapters/objects/filesystem.js";
import { createUploadDesk } from "../../src/adapters/timescale/uploads-desk.js";
import { createUploadStore } from "../../src/adapters/timescale/uploads-store.js";
import { claimCheckRecord, objectKey } from "../../src/domain/claim-check.js";
import type { LogRecord } from "../../src/domain/message.js";
import { TOPIC } from "../../src/domain/names.js";
import type { ObjectStore, UploadClaim } from "../../src/ports.js";
import { withDatabase } from "../support/database.js";
import { type RoleProcess, runCommand, startRole } from "../support/roles.js";
import {
  type ServiceEnv,
  withOwnStack,
  withServices,
} from "../support/services.js";
import { until } from "../support/wait.js";

export interface WorkerRig {
  readonly env: Readonly<Record<string, string>>;
  readonly admin: pg.Client;
  readonly objects: ObjectStore;
  /** Stores, claims and announces an upload; answers the claim's id. */
  upload(given: Upload): Promise<string>;
  /** Puts any value on `telemetry.raw`. */
  append(value: Buffer): Promise<void>;
  worker(more?: Readonly<Record<string, string>>): Promise<RoleProcess>;
  /** Another role of the program. */
  role(name: string): Promise<RoleProcess>;
  command(...args: string[]): Promise<{ code: number; output: string }>;
  claim(claimId: string): Promise<UploadClaim | null>;
  /** Once it has ended. */
  ended(claimId: string, withinMs?: number): Promise<UploadClaim>;
  /** Rows of a device by point and time, as `point time value`. */
  rows(deviceId: string): Promise<string[]>;
  count(sql: string, ...values: unknown[]): Promise<number>;
  /** Dead letters of uploads on the log whose value holds this text. */
  deadLetters(holding: string): Promise<LogRecord[]>;
}

export interface Upload {
  /** Gzipped unless `gzip` is false. */
  readonly body: string | Buffer;
  readonly gzip?: boolean;
  /** What the claim says instead of what is true. */
  readonly says?: Partial<Pick<UploadClaim, "sha256" | "originalSize">>;
  /** False leaves the object out. */
  readonly stored?: boolean;
  /** `default` unless given; uploads of a tenant share a partition. */
  readonly tenant?: string;
}

export async function withWorkerRig(
  work: (rig: WorkerRig) => Promise<void>,
): Promise<void> {
  await withServices(["kafka", "postgres"], (shared) =>
    withDatabase({ rawRetentionDays: 0 }, ({ url }) =>
      withRig({ ...shared, DATABASE_URL: url }, work),
    ),
  );
}

/** On services that are the test's own, all four of them. */
export async function withOwnWorkerRig(
  work: (rig: WorkerRig) => Promise<void>,
): Promise<void> {
  await withOwnStack(["kafka", "postgres", "redis", "mqtt"], ({ env }) =>
    withRig(env, work),
  );
}

async function withRig(
  services: ServiceEnv,
  work: (rig: WorkerRig) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "twinstream-worker-"));
  try {
    await withClients(
      {
        ...services,
        STORAGE_TYPE: "filesystem",
        STORAGE_PATH: folder,
        RAW_RETENTION_DAYS: "0",
        WORKER_GROUP: `worker-${ulid()}`,
      },
      folder,
      work,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function withClients(
  env: Readonly<Record<string, string>>,
  folder: string,
  work: (rig: WorkerRig) => Promise<void>,
): Promise<void> {
  const migrated = await runCommand(["migrate"], env);
  if (migrated.code !== 0) throw new Error(migrated.output);
  const admin = new pg.Client({ connectionString: env["DATABASE_URL"] });
  await admin.connect();
  const connection = connectLog({
    brokers: [env["KAFKA_BROKERS"]!],
    clientId: "worker-test",
    log: () => undefined,
  });
  const writer = createLogWriter(connection);
  const inspector = createLogInspector(connection);
  const desk = createUploadDesk({
    url: env["DATABASE_URL"]!,
    name: "worker test",
    poolMin: 0,
    poolMax: 2,
  });
  const store = createUploadStore({
    url: env["DATABASE_URL"]!,
    name: "worker test",
    poolMin: 0,
    poolMax: 2,
  });
  const objects = createFilesystemStore({ folder });
  await objects.prepare(1);
  const workers: RoleProcess[] = [];

  const rig: WorkerRig = {
    env,
    admin,
    objects,
    async upload(given) {
      const { body, gzip = true, says = {}, stored = true } = given;
      const { tenant = "default" } = given;
      const claimId = ulid();
      const receivedMs = Date.now();
      const key = objectKey(receivedMs, randomUUID());
      const original = Buffer.from(body);
      const bytes = gzip ? gzipSync(original) : original;
      const base = {
        claimId,
        tenant,
        userId: "tester",
        requestId: "request-1",
        key,
        storageType: "filesystem",
      } as const;
      await desk.begin({ ...base, idempotencyKey: null, receivedMs });
      if (stored) await objects.put(key, Readable.from([bytes]), {});
      const sizes = {
        fileSize: bytes.length,
        originalSize: original.length,
        sha256: createHash("sha256").update(bytes).digest("hex"),
        ...says,
      };
      await desk.stored(tenant, claimId, sizes);
      const record = claimCheckRecord({ ...base, ...sizes });
      await writer.append(TOPIC.uploads, [record]);
      await desk.announced(tenant, claimId);
      return claimId;
    },
    append: (value) =>
      writer.append(TOPIC.uploads, [{ key: "default", value }]),
    async worker(more = {}) {
      const role = await startRole("worker", { ...env, ...more });
      workers.push(role);
      await role.ready(60_000);
      return role;
    },
    command: (...args) => runCommand(args, env),
    claim: (claimId) => store.find(claimId),
    ended: (claimId, withinMs = 60_000) =>
      until(
        async () => {
          const claim = await store.find(claimId);
          return claim?.state === "done" || claim?.state === "rejected"
            ? claim
            : null;
        },
        { withinMs, what: `claim ${claimId} to end` },
      ).catch((error: unknown) => {
        throw new Error(
          `${String(error)}\n${workers.map((one) => one.output()).join("\n")}`,
        );
      }),
    async rows(deviceId) {
      const { rows } = await admin.query<{ line: string }>(
        `SELECT s.sensor_uuid || ' ' || to_char(d.time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || ' ' ||
                COALESCE(d.text_value, d.value::text) AS line
         FROM store.telemetry_data d JOIN sensors s ON s.id = d.sensor_id JOIN equipments e ON e.id = s.equipment_id
         WHERE e.equip_uuid = $1 ORDER BY s.sensor_uuid, d.time, s.type_class`,
        [deviceId],
      );
      return rows.map(({ line }) => line);
    },
    async count(sql, ...values) {
      const { rows } = await admin.query<{ count: string }>(sql, values);
      return Number(rows[0]!.count);
    },
    role: async (name) => {
      const role = await startRole(name, env);
      workers.push(role);
      await role.ready(60_000);
      return role;
    },
    async deadLetters(holding) {
      const found: LogRecord[] = [];
      const bounds = await inspector.bounds(TOPIC.uploadDeadLetters);
      for (const [partition, { low, high }] of bounds.entries())
        await inspector.read(
          { topic: TOPIC.uploadDeadLetters, partition, from: low, to: high },
          async (records) => {
            for (const record of records)
              if (record.value?.includes(holding) === true) found.push(record);
          },
          new AbortController().signal,
        );
      return found;
    },
  };
  try {
    await work(rig);
  } finally {
    for (const one of workers) await one.kill();
    await writer.close();
    await inspector.close();
    await desk.close();
    await store.close();
    await admin.end();
  }
}
