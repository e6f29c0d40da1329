/** An upload's whole way with STORAGE_TYPE=minio: into a gateway process, through the bucket, by a worker process into rows. */
import { gzipSync } from "node:zlib";
import { ulid } from "ulid";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createObjectStore } from "../../src/adapters/objects/store.js";
import { withDatabase } from "../support/database.js";
import { whyNoMinio, withMinio } from "../support/minio.js";
import {
  freePort,
  type RoleProcess,
  runCommand,
  startRole,
} from "../support/roles.js";
import { withServices } from "../support/services.js";
import { until } from "../support/wait.js";

const all = suite("an upload through MinIO");
const missing = await whyNoMinio();
if (missing !== null) console.log(`skipped: uploads through MinIO: ${missing}`);
const test = missing === null ? all : all.skip;

const DEVICE = `freezer-${ulid()}`;
const READINGS = 20_000;
const body = gzipSync(
  JSON.stringify([
    {
      equip_uuid: DEVICE,
      equip_nome: "Freezer Teste",
      sensor: Array.from({ length: READINGS }, (_, i) => ({
        sensor_uuid: "t1",
        sensor_tipo: "temperatura",
        valor: i / 8,
        timestamp: new Date(Date.UTC(2026, 0, 10) + i * 1000).toISOString(),
      })),
    },
  ]),
);

test("a 202 becomes rows, each once, and the object goes", () =>
  withServices(["kafka", "redis", "postgres"], (shared) =>
    withDatabase({ rawRetentionDays: 0 }, ({ url, admin }) =>
      withMinio(async ({ settings }) => {
        const port = String(await freePort());
        const env: Record<string, string> = {
          ...shared,
          ...settings,
          DATABASE_URL: url,
          RAW_RETENTION_DAYS: "0",
          HTTP_PORT: port,
          WORKER_GROUP: `worker-${ulid()}`,
        };
        const objects = createObjectStore(settings, () => undefined);
        const roles: RoleProcess[] = [];
        const output = () => roles.map((role) => role.output()).join("\n");
        try {
          const migrated = await runCommand(["migrate"], env);
          assert.is(migrated.code, 0, migrated.output);
          for (const name of ["gateway", "worker"])
            roles.push(await startRole(name, env));
          for (const role of roles) await role.ready(60_000);

          const base = `http://127.0.0.1:${port}`;
          const response = await fetch(`${base}/api/v1/telemetry/bulk`, {
            method: "POST",
            headers: { "content-type": "application/gzip" },
            body,
          });
          assert.is(response.status, 202, await response.clone().text());
          const claim = (await response.json()) as {
            claim_check: string;
            status_url: string;
          };
          const ended = await until(
            async () => {
              const answer = await fetch(base + claim.status_url);
              const status = (await answer.json()) as {
                state: string;
                readings: object;
              };
              return ["done", "rejected"].includes(status.state) && status;
            },
            { withinMs: 60_000, what: "the claim to end" },
          ).catch((error: unknown) => {
            throw new Error(`${String(error)}\n${output()}`);
          });
          assert.equal(
            [ended.state, ended.readings],
            ["done", { stored: READINGS, duplicate: 0, failed: 0 }],
          );
          const { rows } = await admin.query<{ n: number; sum: number }>(
            "SELECT count(*)::int AS n, sum(value) AS sum FROM store.telemetry_data",
          );
          assert.equal(rows, [
            { n: READINGS, sum: (READINGS * (READINGS - 1)) / 16 },
          ]);
          assert.is(await objects.head(claim.claim_check), null);
          for (const role of roles) assert.is(await role.stop(), 0, output());
        } finally {
          for (const role of roles) await role.kill();
          await objects.close();
        }
      }),
    ),
  ));

all.run();
