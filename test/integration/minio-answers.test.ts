/** Answers that no healthy MinIO gives: none, half of one, "come later", and "I know no rules". */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createMinioStore } from "../../src/adapters/objects/minio.js";
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
import { until, within } from "../support/wait.js";

const test = suite("object store: minio, odd answers");
const SILENCE_MS = 200;

interface Under {
  readonly store: ObjectStore;
  readonly notes: string[];
  /** Connections that are open. */
  connections(): Promise<number>;
}

async function withServer(
  answer: RequestListener,
  work: (under: Under) => Promise<void>,
): Promise<void> {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url?.endsWith("?location") === true)
      response.end("<LocationConstraint></LocationConstraint>");
    else answer(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const notes: string[] = [];
  const store = createMinioStore({
    endpoint: `127.0.0.1:${port}`,
    accessKey: "key",
    secretKey: "secret",
    bucket: "telemetry-raw",
    silenceMs: SILENCE_MS,
    note: (text) => notes.push(text),
  });
  try {
    await work({
      store,
      notes,
      connections: () =>
        new Promise((resolve, reject) => {
          server.getConnections((error, count) =>
            error ? reject(error) : resolve(count),
          );
        }),
    });
  } finally {
    await store.close();
    server.closeAllConnections();
    server.close();
  }
}

test("a store that never answers is given up, by every call", () =>
  withServer(
    () => undefined,
    async ({ store }) => {
      for (const doing of [
        () => store.ping(),
        () => store.get(newKey()),
        () => store.head(newKey()),
        () => store.put(newKey(), streamOf("x"), {}),
        () => store.put(newKey(), Readable.from(noise(2 ** 24)), {}),
        () => store.remove(newKey()),
        () => keysIn(store),
        () => store.sweep(0),
      ])
        assert.is(
          await within(5000, codeOf(doing()), "the call to settle"),
          "OBJECTS_UNREACHABLE",
        );
    },
  ));

test("a part that fails fails the put, though its source has nothing more to say", () =>
  withServer(
    (request, response) => {
      if (request.method === "POST")
        response.end(
          "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
        );
      else request.once("end", () => request.destroy());
    },
    async ({ store }) => {
      const body = new PassThrough({ highWaterMark: 2 ** 24 });
      for (const chunk of noise(9 * 2 ** 20)) body.write(chunk);
      assert.is(
        await within(
          5000,
          codeOf(store.put(newKey(), body, {})),
          "the put to settle",
        ),
        "OBJECTS_UNREACHABLE",
      );
      assert.ok(body.destroyed);
    },
  ));

test("an object that stops in the middle is an error to its reader, silent or cut off", async () => {
  for (const cut of [true, false])
    await withServer(
      (_request, response) => {
        response.writeHead(200, { "content-length": 1000 });
        response.write("half", () => {
          if (cut) response.destroy();
        });
      },
      async ({ store }) => {
        const stream = await store.get(newKey());
        assert.is(await codeOf(bytesIn(stream)), "OBJECTS_UNREACHABLE");
      },
    );
});

test("a reader may take its time", () =>
  withServer(
    (_request, response) => {
      response.end("whole");
    },
    async ({ store }) => {
      const stream = await store.get(newKey());
      const begunMs = performance.now();
      await until(() => performance.now() - begunMs > 2 * SILENCE_MS, {
        withinMs: 5000,
        what: "longer than a request may be silent",
      });
      assert.is((await bytesIn(stream)).toString(), "whole");
    },
  ));

test("a store that says come later holds no connection, and nothing is written to the console", () =>
  withServer(
    (_request, response) => {
      response.writeHead(503);
      response.end("<Error><Code>SlowDown</Code></Error>".repeat(10_000));
    },
    async ({ store, connections }) => {
      const said: unknown[] = [];
      const { warn } = console;
      console.warn = (...words) => said.push(words);
      try {
        for (let turn = 0; turn < 20; turn++)
          assert.is(
            await codeOf(store.remove(newKey())),
            "OBJECTS_UNREACHABLE",
          );
      } finally {
        console.warn = warn;
      }
      assert.equal(said, []);
      assert.ok((await connections()) <= 2, `${await connections()}`);
    },
  ));

test("a full store is unreachable, to be tried again", () =>
  withServer(
    (_request, response) => {
      response.writeHead(507);
      response.end(
        "<Error><Code>XMinioStorageFull</Code><Message>no space</Message></Error>",
      );
    },
    async ({ store }) => {
      const error = await store.put(newKey(), streamOf("x"), {}).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof TwinstreamError);
      assert.is(error.code, "OBJECTS_UNREACHABLE");
      assert.ok(error.canRetry);
      assert.match(error.message, "XMinioStorageFull");
    },
  ));

test("a store that knows no rules is told once and is no error", () =>
  withServer(
    (request, response) => {
      const rules = request.url?.endsWith("?lifecycle") === true;
      response.writeHead(rules ? 501 : 200);
      response.end(rules ? "<Error><Code>NotImplemented</Code></Error>" : "");
    },
    async ({ store, notes }) => {
      await store.prepare(7);
      await store.prepare(7);
      assert.is(notes.length, 1);
      assert.match(notes[0] ?? "", "NotImplemented");
    },
  ));

test("an address that is none is a bad setting", () => {
  for (const endpoint of [
    "",
    "ftp://x",
    "http://x/path",
    "http://u:p@x",
    "a b",
  ])
    assert.throws(
      () =>
        createMinioStore({
          endpoint,
          accessKey: "a",
          secretKey: "b",
          bucket: "telemetry-raw",
          note: () => undefined,
        }),
      /MINIO_ENDPOINT must be/,
    );
});

test.run();
