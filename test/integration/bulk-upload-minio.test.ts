/** Uploads through the gateway into a real MinIO: what arrives whole is there, what breaks off is not. */
import { request as openRequest } from "node:http";
import { buffer } from "node:stream/consumers";
import { gunzipSync, gzipSync } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createObjectStore } from "../../src/adapters/objects/store.js";
import type { ObjectStore } from "../../src/ports.js";
import { JSON_TYPE, GZIP, uploadOf } from "../gateway/bulk-rig.js";
import { withGateway } from "../support/gateway-rig.js";
import { createMemoryDesk, type MemoryDesk } from "../support/memory-desk.js";
import { whyNoMinio, withMinio } from "../support/minio.js";
import { until } from "../support/wait.js";

const minio = suite("uploads into MinIO");

const why = await whyNoMinio();
if (why !== null) console.log(`skipped: uploads into MinIO: ${why}`);
const test = why === null ? minio : minio.skip;

interface Ground {
  readonly url: string;
  readonly objects: ObjectStore;
  readonly desk: MemoryDesk;
  keys(): Promise<string[]>;
}

const onMinio = (work: (ground: Ground) => Promise<void>): Promise<void> =>
  withMinio(async ({ settings }) => {
    const objects = createObjectStore(settings, () => {});
    const desk = createMemoryDesk();
    const limits = { maxBytes: 1024 ** 3, maxRatio: 200, maxConcurrent: 8 };
    try {
      await objects.prepare(7);
      await withGateway(
        async ({ app }) => {
          const base = await app.listen({ port: 0, host: "127.0.0.1" });
          await work({
            url: `${base}/telemetry/bulk`,
            objects,
            desk,
            async keys() {
              const found: string[] = [];
              const later = Date.now() + 3_600_000;
              for await (const { key } of objects.list("telemetry/", later))
                found.push(key);
              return found;
            },
          });
        },
        { deps: { uploads: { desk, objects, limits } } },
      );
    } finally {
      await objects.close();
    }
  });

/** Some 30 MB, so that its gzip takes several parts or one, as the store likes. */
const text = (): Buffer => Buffer.from(JSON.stringify(uploadOf(150_000)));

test("what arrives whole is there", () =>
  onMinio(async ({ url, objects, desk }) => {
    const plain = text();
    for (const [body, headers] of [
      [plain, JSON_TYPE],
      [gzipSync(plain, { level: 1 }), GZIP],
    ] as const) {
      const response = await fetch(url, { method: "POST", headers, body });
      assert.is(response.status, 202, await response.clone().text());
      const { claim_check: key, claim_id: id } = (await response.json()) as {
        claim_check: string;
        claim_id: string;
      };
      const stored = await buffer(await objects.get(key));
      assert.ok(gunzipSync(stored).equals(plain));
      const head = await objects.head(key);
      assert.is(head!.metadata["user_id"], "anonymous");
      assert.is(desk.claims.get(id)!.fileSize, stored.length);
      assert.is(desk.claims.get(id)!.storageType, "minio");
    }
  }));

test("what is refused or breaks off at half is not", () =>
  onMinio(async ({ url, desk, keys }) => {
    const plain = text();
    const packed = gzipSync(plain, { level: 1 });
    for (const [body, headers] of [
      [plain.subarray(0, -5), JSON_TYPE],
      [packed.subarray(0, -5), GZIP],
    ] as const) {
      const refused = await fetch(url, { method: "POST", headers, body });
      assert.is(refused.status, 400);
    }
    for (const [body, headers] of [
      [plain, JSON_TYPE],
      [packed, GZIP],
    ] as const) {
      const sent = openRequest(url, {
        method: "POST",
        headers: { ...headers, "content-length": String(body.length) },
      });
      // The connection ends on purpose.
      sent.on("error", () => {});
      await new Promise((resolve) =>
        sent.write(body.subarray(0, body.length / 2), resolve),
      );
      await until(() => desk.claims.size === 1, {
        withinMs: 5000,
        what: "the upload to begin",
      });
      sent.destroy();
      await until(() => desk.claims.size === 0, {
        withinMs: 10_000,
        what: "no claim to be left",
      });
    }
    assert.equal(await keys(), []);
  }));

minio.run();
