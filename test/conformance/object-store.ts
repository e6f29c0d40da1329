/** What every ObjectStore does, in a folder or in a bucket. Longer than 300 lines: one port, one suite. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { PassThrough, Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { ObjectStore, StoredObject } from "../../src/ports.js";
import { until, within } from "../support/wait.js";

const MIB = 2 ** 20;
const PUT_MS = 30_000;
/** Far more than the bytes in flight, far less than what streams through it; see there. */
const RSS_BOUND = 96 * MIB;

export const newKey = (): string =>
  `telemetry/2026-01-15-10-30-00/${randomUUID()}.json.gz`;

/** So many bytes that differ from chunk to chunk, of odd sizes, none kept. */
export function* noise(bytes: number): Generator<Buffer> {
  const all = randomBytes(MIB);
  let left = bytes;
  for (let turn = 0; left > 0; turn++) {
    const from = (turn * 977) % 1000;
    const size = Math.min(left, 65_536 - 7);
    yield all.subarray(from, from + size);
    left -= size;
  }
}

export const streamOf = (...chunks: (string | Buffer)[]): Readable =>
  Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  );

export async function bytesIn(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function keysIn(
  store: ObjectStore,
  prefix = "",
  beforeMs = Infinity,
): Promise<string[]> {
  const found: StoredObject[] = [];
  for await (const one of store.list(prefix, beforeMs)) found.push(one);
  return found.map(({ key }) => key).toSorted();
}

/** The error's code; fails when there is none. */
export async function codeOf(doing: Promise<unknown>): Promise<string> {
  try {
    await within(PUT_MS, doing, "the promise to settle");
  } catch (error) {
    if (error instanceof TwinstreamError) return error.code;
    throw error;
  }
  return "no error";
}

/** Makes the suite; `withStore` gives a prepared, empty store and takes it away afterwards. */
export function objectStoreSuite(
  name: string,
  withStore: (work: (store: ObjectStore) => Promise<void>) => Promise<void>,
  /** Why it cannot be run here; null when it can. */
  skipped: string | null = null,
): { run(): void } {
  const all = suite(`object store: ${name}`);
  if (skipped !== null)
    console.log(`skipped: object store ${name}: ${skipped}`);
  const test = (
    sentence: string,
    work: (store: ObjectStore) => Promise<void>,
  ) => (skipped === null ? all : all.skip)(sentence, () => withStore(work));

  for (const [words, bytes] of [
    ["no bytes", 0],
    ["one byte", 1],
    ["exactly one part of 8 MiB", 8 * MIB],
    ["5 MiB", 5 * MIB],
    ["40 MiB", 40 * MIB],
  ] as const)
    test(`an object of ${words} comes back as it went in`, async (store) => {
      const key = newKey();
      const sent = createHash("sha256");
      const body = Readable.from(
        (function* () {
          for (const chunk of noise(bytes)) {
            sent.update(chunk);
            yield chunk;
          }
        })(),
        { objectMode: false },
      );
      assert.equal(await store.put(key, body, {}), { bytes });
      const received = createHash("sha256");
      let size = 0;
      for await (const chunk of (await store.get(
        key,
      )) as AsyncIterable<Buffer>) {
        received.update(chunk);
        size += chunk.length;
      }
      assert.is(size, bytes);
      assert.is(received.digest("hex"), sent.digest("hex"));
      assert.is((await store.head(key))?.bytes, bytes);
    });

  test("256 MiB pass through it without being held", async (store) => {
    const key = newKey();
    // What other tests have left is not this one's growth.
    await store.put(newKey(), Readable.from(noise(40 * MIB)), {});
    const before = process.memoryUsage.rss();
    let peak = before;
    const watched = function* (): Generator<Buffer> {
      for (const chunk of noise(256 * MIB)) {
        peak = Math.max(peak, process.memoryUsage.rss());
        yield chunk;
      }
    };
    await store.put(key, Readable.from(watched(), { objectMode: false }), {});
    for await (const chunk of await store.get(key)) {
      assert.ok(chunk);
      peak = Math.max(peak, process.memoryUsage.rss());
    }
    const grown = peak - before;
    assert.ok(grown < RSS_BOUND, `grew by ${Math.round(grown / MIB)} MiB`);
  });

  test("a source that fails leaves nothing, and the put rejects with its error", async (store) => {
    for (const bytes of [0, 1000, 20 * MIB]) {
      const key = newKey();
      const cause = new Error("the client went away");
      const body = Readable.from(
        (function* () {
          yield* noise(bytes);
          throw cause;
        })(),
        { objectMode: false },
      );
      let thrown: unknown;
      await within(
        PUT_MS,
        store.put(key, body, {}).catch((error: unknown) => (thrown = error)),
        "the put to settle",
      );
      assert.is(thrown, cause, `${bytes}`);
      assert.is(await store.head(key), null);
      assert.is(await codeOf(store.get(key)), "NOT_FOUND");
    }
    assert.equal(await keysIn(store), []);
    assert.is(await store.sweep(Date.now() + 60_000), 0, "nothing to sweep");
  });

  test("a source that is destroyed without an error, before or in the middle, is no object either", async (store) => {
    const early = new PassThrough();
    early.destroy();
    const late = new PassThrough();
    const puts = [early, late].map((body) =>
      within(PUT_MS, store.put(newKey(), body, {}), "the put to settle").then(
        () => "stored",
        (error: Error) => error.message,
      ),
    );
    for (const chunk of noise(9 * MIB)) {
      if (!late.write(chunk))
        await within(
          PUT_MS,
          new Promise((resolve) => late.once("drain", resolve)),
          "the store to read on",
        );
    }
    late.destroy();
    for (const outcome of await Promise.all(puts))
      assert.match(outcome, /premature close/i);
    assert.equal(await keysIn(store), []);
  });

  test("a source that fails before the store has looked at it rejects the put and ends nothing else", async (store) => {
    const body = new PassThrough();
    const putting = store.put(newKey(), body, {});
    body.destroy(new Error("at once"));
    assert.match(
      await putting.then(
        () => "stored",
        (error: Error) => error.message,
      ),
      "at once",
    );
    assert.equal(await keysIn(store), []);
  });

  test("an object cannot be seen before it is complete", async (store) => {
    const key = newKey();
    const body = new PassThrough();
    const putting = store.put(key, body, {});
    body.write("half ");
    await turn();
    assert.is(await store.head(key), null);
    assert.equal(await keysIn(store), []);
    body.end("and half");
    await putting;
    assert.equal(await keysIn(store), [key]);
    assert.is(
      (await bytesIn(await store.get(key))).toString(),
      "half and half",
    );
  });

  test("metadata comes back as it was given, whatever its characters", async (store) => {
    const metadata = {
      user_id: "müller@example.org",
      request_id: '100 % \u2744 "quoted" a+b/c ',
      empty: "",
    };
    const key = newKey();
    const beforeMs = Date.now();
    await store.put(key, streamOf("x"), metadata);
    const head = await store.head(key);
    assert.equal(head?.metadata, metadata);
    assert.is(head?.key, key);
    // A store may keep whole seconds.
    assert.ok(Math.abs((head?.modifiedMs ?? 0) - beforeMs) < 5000);
    const plain = newKey();
    await store.put(plain, streamOf("x"), {});
    assert.equal((await store.head(plain))?.metadata, {});
  });

  test("a second put of a key takes the first one's place", async (store) => {
    const key = newKey();
    await store.put(key, streamOf("first"), { request_id: "1" });
    await store.put(key, streamOf("second"), { request_id: "2" });
    assert.is((await bytesIn(await store.get(key))).toString(), "second");
    assert.equal((await store.head(key))?.metadata, { request_id: "2" });
    assert.equal(await keysIn(store), [key]);
  });

  test("what is not there is not found, and removing it is no error", async (store) => {
    const key = newKey();
    assert.is(await codeOf(store.get(key)), "NOT_FOUND");
    assert.is(await store.head(key), null);
    await store.remove(key);
    await store.put(key, streamOf("x"), { user_id: "u" });
    await store.remove(key);
    await store.remove(key);
    assert.is(await codeOf(store.get(key)), "NOT_FOUND");
    assert.is(await store.head(key), null);
    assert.equal(await keysIn(store), []);
    // A folder on the way to an object is none.
    await store.put("telemetry/a/b.json.gz", streamOf("x"), {});
    assert.is(await codeOf(store.get("telemetry/a")), "NOT_FOUND");
    assert.is(await store.head("telemetry/a"), null);
  });

  test("the list has what begins with a prefix and is older than asked, also while it is emptied", async (store) => {
    const keys = Array.from(
      { length: 25 },
      (_, i) => `telemetry/2026-01-${10 + (i % 5)}/${randomUUID()}.json.gz`,
    ).toSorted();
    for (const key of keys) await store.put(key, streamOf(key), {});
    await store.put("elsewhere/x.json.gz", streamOf("x"), {});
    assert.equal(await keysIn(store, "telemetry/"), keys);
    assert.equal(
      await keysIn(store, "telemetry/2026-01-12/"),
      keys.filter((key) => key.includes("-12/")),
    );
    assert.equal(
      await keysIn(store, "telemetry/2026-01-1"),
      keys,
      "a prefix may end within a name",
    );
    assert.equal(await keysIn(store, "telemetry/nowhere/"), []);
    assert.equal(await keysIn(store, "", Date.now() - 60_000), []);
    for await (const { key, bytes } of store.list("telemetry/", Infinity)) {
      assert.is(bytes, key.length);
      await store.remove(key);
    }
    assert.equal(await keysIn(store), ["elsewhere/x.json.gz"]);
  });

  test("many are put, read and removed at once in the same places", async (store) => {
    const folders = ["a", "b"];
    const put = async (i: number): Promise<void> => {
      const key = `telemetry/${folders[i % 2]}/${i}.json.gz`;
      await store.put(key, streamOf(`object ${i}`), { request_id: `${i}` });
      assert.is(
        (await bytesIn(await store.get(key))).toString(),
        `object ${i}`,
      );
      if (i % 4 < 2) await store.remove(key);
    };
    await Promise.all(Array.from({ length: 60 }, (_, i) => put(i)));
    assert.is((await keysIn(store)).length, 30);
  });

  test("a key that is none is refused by every call, and touches nothing", async (store) => {
    const tricks = [
      "",
      "/",
      "/etc/passwd",
      "..",
      "../x",
      "telemetry/../../x",
      "telemetry/./x",
      "telemetry//x",
      "telemetry/x/",
      "telemetry/.hidden",
      ".incoming/x",
      "telemetry\\..\\x",
      "telemetry/x\0.json.gz",
      "telemetry/%2e%2e/x",
      "C:\\x",
      "telemetry/é",
      "telemetry/a b",
      "telemetry/x.meta.json",
      `telemetry/${"x".repeat(201)}`,
      `${"x/".repeat(300)}x`,
    ];
    for (const key of tricks) {
      const body = streamOf("x");
      const codes = await Promise.all(
        [
          store.put(key, body, {}),
          store.get(key),
          store.head(key),
          store.remove(key),
        ].map(codeOf),
      );
      assert.equal([...new Set(codes)], ["BAD_REQUEST"], JSON.stringify(key));
      assert.ok(body.destroyed);
    }
    for (const prefix of ["/", "../", "telemetry/../", ".incoming/"])
      assert.is(await codeOf(keysIn(store, prefix)), "BAD_REQUEST", prefix);
    for (const metadata of [
      { "bad name": "x" },
      { "x\r\ny": "x" },
      { long: "x".repeat(3000) },
    ])
      assert.is(
        await codeOf(store.put(newKey(), streamOf("x"), metadata)),
        "BAD_REQUEST",
      );
    assert.equal(await keysIn(store), []);
  });

  test("a reader may leave before the first byte or in the middle", async (store) => {
    const key = newKey();
    await store.put(key, Readable.from(noise(20 * MIB)), {});
    for (let turn = 0; turn < 20; turn++) {
      const stream = await store.get(key);
      if (turn % 2 === 0) stream.destroy();
      else
        for await (const chunk of stream) {
          assert.ok(chunk);
          break;
        }
      await until(() => stream.destroyed, {
        withinMs: 5000,
        what: "the stream to end",
      });
    }
    assert.is((await store.head(key))?.bytes, 20 * MIB);
  });

  test("preparing and asking after it may be repeated", async (store) => {
    await store.prepare(7);
    await store.prepare(30);
    await store.ping();
  });

  return all;
}
