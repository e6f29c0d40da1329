/** A real MinIO: killed in the middle, swept, with its bucket's rules, wrong keys, and a bucket that is not there. */
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { Client } from "minio";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { checkObjects } from "../../src/adapters/objects/objects-check.js";
import {
  createObjectStore,
  type ObjectStoreSettings,
} from "../../src/adapters/objects/store.js";
import { TwinstreamError } from "../../src/errors.js";
import type { ObjectStore } from "../../src/ports.js";
import {
  bytesIn,
  codeOf,
  keysIn,
  newKey,
  noise,
  streamOf,
} from "../conformance/object-store.js";
import { type Minio, whyNoMinio, withMinio } from "../support/minio.js";
import { until, within } from "../support/wait.js";

const MIB = 2 ** 20;
const all = suite("object store: minio, its own");
const why = await whyNoMinio();
if (why !== null) console.log(`skipped: MinIO's faults and rules: ${why}`);

interface Under extends Minio {
  readonly store: ObjectStore;
  /** What the store noted. */
  readonly notes: string[];
  /** The same server, by itself. */
  readonly client: Client;
}

const test = (
  sentence: string,
  work: (under: Under) => Promise<void>,
): void => {
  (why === null ? all : all.skip)(sentence, () =>
    withMinio(async (minio) => {
      const { settings } = minio;
      const notes: string[] = [];
      const store = createObjectStore(settings, (text) => notes.push(text));
      try {
        await work({ ...minio, store, notes, client: clientOf(settings) });
      } finally {
        await store.close();
      }
    }),
  );
};

function clientOf(settings: ObjectStoreSettings): Client {
  const { hostname, port } = new URL(settings.MINIO_ENDPOINT);
  return new Client({
    endPoint: hostname,
    port: Number(port),
    useSSL: false,
    accessKey: settings.MINIO_ACCESS_KEY,
    secretKey: settings.MINIO_SECRET_KEY,
  });
}

test("killed in the middle of a put it makes the put fail at once, to be tried again; once back it has no half of it", async ({
  store,
  kill,
  start,
}) => {
  await store.prepare(7);
  await store.put("telemetry/a/before.gz", streamOf("before"), {});
  const key = newKey();
  const body = new PassThrough();
  const putting = store.put(key, body, {}).then(
    () => null,
    (error: unknown) => error,
  );
  // Some parts are there, and the source is silent, when it dies.
  for (const chunk of noise(20 * MIB))
    if (!body.write(chunk)) await once(body, "drain");
  await kill();
  // The part that the next bytes complete finds nobody.
  const filling = Readable.from(noise(20 * MIB));
  filling.pipe(body);
  const error = await within(20_000, putting, "the put to fail");
  assert.ok(error instanceof TwinstreamError);
  assert.is(error.code, "OBJECTS_UNREACHABLE");
  assert.ok(error.canRetry);
  assert.ok(body.destroyed, "the source is told");
  filling.destroy();
  for (const doing of [
    () => store.ping(),
    () => store.get(key),
    () => store.head(key),
    () => store.remove(key),
    () => keysIn(store),
    () => store.sweep(0),
    () => store.prepare(7),
  ])
    assert.is(await codeOf(doing()), "OBJECTS_UNREACHABLE");

  await start();
  await until(
    () =>
      store.ping().then(
        () => true,
        () => false,
      ),
    {
      withinMs: 20_000,
      what: "the store to answer again",
    },
  );
  assert.equal(await keysIn(store), ["telemetry/a/before.gz"]);
  await store.put(key, streamOf("again"), {});
  assert.is((await bytesIn(await store.get(key))).toString(), "again");
});

test("killed in the middle of a get it makes the reader fail, to be tried again", async ({
  store,
  kill,
}) => {
  await store.prepare(7);
  const key = newKey();
  await store.put(key, Readable.from(noise(40 * MIB)), {});
  const stream = await store.get(key);
  const failed = (async () => {
    let killed = false;
    for await (const chunk of stream) {
      assert.ok(chunk);
      if (!killed) await kill();
      killed = true;
    }
  })();
  assert.is(await codeOf(failed), "OBJECTS_UNREACHABLE");
});

test("the sweep drops parts of uploads that broke off, and not those that are coming in", async ({
  store,
  settings,
  client,
}) => {
  await store.prepare(7);
  const bucket = settings.MINIO_BUCKET;
  const left = newKey();
  const id = await client.initiateNewMultipartUpload(bucket, left, {});
  await client.uploadPart(
    {
      bucketName: bucket,
      objectName: left,
      uploadID: id,
      partNumber: 1,
      headers: {},
    },
    Buffer.alloc(5 * MIB),
  );
  const key = newKey();
  const body = new PassThrough();
  const putting = store.put(key, body, {});
  for (const chunk of noise(20 * MIB))
    if (!body.write(chunk)) await once(body, "drain");

  assert.is(await store.sweep(Date.now() - 60_000), 0, "all are young");
  assert.is(await store.sweep(Date.now() + 60_000), 1);
  assert.is(await client.findUploadId(bucket, left), undefined);
  body.end();
  assert.equal(await putting, { bytes: 20 * MIB });
  assert.equal(await keysIn(store), [key]);
  assert.is(await store.sweep(Date.now() + 60_000), 0);
});

test("a put takes up nothing that an earlier one of its key has left", async ({
  store,
  settings,
  client,
}) => {
  await store.prepare(7);
  const bucket = settings.MINIO_BUCKET;
  const key = newKey();
  const id = await client.initiateNewMultipartUpload(bucket, key, {});
  await client.uploadPart(
    {
      bucketName: bucket,
      objectName: key,
      uploadID: id,
      partNumber: 3,
      headers: {},
    },
    Buffer.alloc(5 * MIB),
  );
  const sent = Buffer.concat([...noise(17 * MIB)]);
  await store.put(key, Readable.from([sent]), {});
  assert.ok((await bytesIn(await store.get(key))).equals(sent));
});

test("the bucket's rule is set once, four weeks past the setting, and others' rules stay", async ({
  store,
  settings,
  client,
  notes,
}) => {
  const bucket = settings.MINIO_BUCKET;
  await client.makeBucket(bucket);
  const theirs = {
    ID: "theirs",
    Status: "Enabled",
    Filter: { Prefix: "logs/" },
    Expiration: { Days: 3 },
  };
  await client.setBucketLifecycle(bucket, { Rule: [theirs] });
  for (const days of [7, 7, 30]) {
    await store.prepare(days);
    const rules = (await client.getBucketLifecycle(bucket))?.Rule ?? [];
    assert.equal(
      rules.map(({ ID, Filter, Expiration }) => ({
        ID,
        prefix: Filter?.Prefix,
        days: Expiration?.Days,
      })),
      [
        { ID: "theirs", prefix: "logs/", days: 3 },
        { ID: "twinstream-uploads", prefix: "telemetry/", days: days + 28 },
      ],
    );
  }
  assert.equal(notes, []);
});

test("several processes may prepare it at once", async ({ settings }) => {
  const stores = Array.from({ length: 4 }, () =>
    createObjectStore(settings, () => undefined),
  );
  await Promise.all(stores.map((store) => store.prepare(7)));
  await Promise.all(stores.map((store) => store.ping()));
  await Promise.all(stores.map((store) => store.close()));
});

test("a bucket that is not there, or no more, is not a missing object", async ({
  store,
  settings,
  client,
}) => {
  const calls = [
    () => store.ping(),
    () => store.head(newKey()),
    () => store.get(newKey()),
    () => store.put(newKey(), streamOf("x"), {}),
    () => keysIn(store),
  ];
  for (const call of calls)
    assert.is(await codeOf(call()), "OBJECTS_UNREACHABLE");
  for (const call of calls) {
    await store.prepare(7);
    await client.removeBucket(settings.MINIO_BUCKET);
    assert.is(await codeOf(call()), "OBJECTS_UNREACHABLE");
  }
});

test("the check looks for the bucket and makes none", async ({
  settings,
  store,
}) => {
  const before = await checkObjects(settings);
  assert.equal(
    before.map(({ verdict }) => verdict),
    ["advice"],
  );
  assert.is(await codeOf(store.ping()), "OBJECTS_UNREACHABLE");
  await store.prepare(7);
  const [after] = await checkObjects(settings);
  assert.is(after?.verdict, "ok");
  assert.is(
    after?.found,
    `has the bucket ${settings.MINIO_BUCKET}, and takes these keys`,
  );
});

test("wrong keys are told by the store's own code, without the keys", async ({
  settings,
}) => {
  const store = createObjectStore(
    { ...settings, MINIO_SECRET_KEY: "hunter2hunter2" },
    () => undefined,
  );
  const error = await store.ping().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  await store.close();
  assert.ok(error instanceof TwinstreamError);
  assert.is(error.code, "OBJECTS_UNREACHABLE");
  assert.match(error.message, "SignatureDoesNotMatch");
  assert.not.match(error.message, "hunter2");
});

all.run();
