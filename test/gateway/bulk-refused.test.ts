/** Uploads that are refused or break off: nothing of them is left, and the answer says why. */
import { type ClientRequest, request as openRequest } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { until, within } from "../support/wait.js";
import {
  type BulkRig,
  GZIP,
  JSON_TYPE,
  uploadOf,
  withUploads,
} from "./bulk-rig.js";

const refused = suite("refused uploads");

const MIB = 1024 * 1024;
const large = (): Buffer => Buffer.from(JSON.stringify(uploadOf(20_000)));
/** Bytes that a level-1 gzip cannot shrink below a few MB. */
const noise = (bytes: number): Buffer => {
  const text = Buffer.alloc(bytes, "[");
  let seed = 1;
  for (let at = 1; at < bytes - 1; at++) {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7f_ff_ff_ff;
    text[at] = 0x61 + ((seed >> 16) % 26);
  }
  text[bytes - 1] = 0x5d;
  return text;
};

async function mustRefuse(
  rig: BulkRig,
  body: string | Buffer,
  headers: Readonly<Record<string, string>>,
  status: number,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await rig.upload(body, headers);
  const shown = JSON.stringify(answer.body).slice(0, 500);
  assert.is(answer.status, status, shown);
  assert.match(String(answer.headers.get("content-type")), "problem+json");
  assert.ok(rig.isClean(), `something is left: ${shown}`);
  assert.is(rig.log.appended.length, 0);
  return answer.body;
}

const truncated = gzipSync(JSON.stringify(uploadOf(3))).subarray(0, -4);
const corrupt = gzipSync(JSON.stringify(uploadOf(3)));
corrupt[corrupt.length - 6]! ^= 0xff;

for (const [name, body, headers] of [
  ["nothing", "", JSON_TYPE],
  ["only space", "  \n ", JSON_TYPE],
  ["nothing, as gzip", "", GZIP],
  ["gzip of nothing", gzipSync(""), GZIP],
  ["an empty array", "[]", JSON_TYPE],
  ["an object", "{}", JSON_TYPE],
  ["a number", "12", JSON_TYPE],
  ["truncated gzip", truncated, GZIP],
  ["gzip with a wrong checksum", corrupt, GZIP],
  ["a large gzip, truncated", gzipSync(large()).subarray(0, 100_000), GZIP],
  [
    "gzip with garbage behind",
    Buffer.concat([gzipSync("[1]"), Buffer.from("junk")]),
    GZIP,
  ],
  [
    "gzip with zeros behind",
    Buffer.concat([
      gzipSync(JSON.stringify(uploadOf(3))),
      Buffer.alloc(200_000),
    ]),
    GZIP,
  ],
  [
    "a large gzip with garbage behind",
    Buffer.concat([gzipSync(large()), Buffer.alloc(MIB, "x")]),
    GZIP,
  ],
  ["JSON said to be gzip", JSON.stringify(uploadOf(1)), GZIP],
  ["gzip said to be JSON", gzipSync(JSON.stringify(uploadOf(1))), JSON_TYPE],
  ["gzip of gzip", gzipSync(gzipSync(JSON.stringify(uploadOf(1)))), GZIP],
  ["truncated JSON", JSON.stringify(uploadOf(3)).slice(0, -10), JSON_TYPE],
  ["a large truncated JSON", large().subarray(0, 2 * MIB), JSON_TYPE],
  [
    "a large truncated JSON in gzip",
    gzipSync(large().subarray(0, 2 * MIB)),
    GZIP,
  ],
  ["10 MB of brackets", Buffer.alloc(10_000_000, "["), JSON_TYPE],
  [
    "1 MB of brackets, closed",
    `${"[".repeat(500_000)}${"]".repeat(500_000)}`,
    JSON_TYPE,
  ],
  ["what is not UTF-8", Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), JSON_TYPE],
  ["a byte-order mark", "\uFEFF[]", JSON_TYPE],
  [
    "NaN",
    JSON.stringify(uploadOf(1)).replace(/"valor":[\d.]+/, '"valor":NaN'),
    JSON_TYPE,
  ],
] as const)
  refused(`${name} is refused with 400`, () =>
    withUploads(async (rig) => {
      const problem = await mustRefuse(rig, body, headers, 400);
      assert.is(problem["code"], "BAD_REQUEST");
      assert.ok((problem["errors"] as unknown[]).length > 0);
    }),
  );

refused(
  "the first twenty faults of a small upload are named by their paths",
  () =>
    withUploads(async (rig) => {
      const upload = uploadOf(30) as { sensor: Record<string, unknown>[] }[];
      for (const { sensor } of upload) sensor[1]!["valor"] = null;
      upload[0]!.sensor[0]!["timestamp"] = "2027-01-15T10:00:00Z";
      const body = JSON.stringify(upload).replace("0.125", "1e400");
      const problem = await mustRefuse(rig, body, JSON_TYPE, 400);
      const errors = problem["errors"] as { path: string; reason: string }[];
      assert.is(errors.length, 20);
      assert.equal(
        errors.slice(0, 3).map(({ path }) => path),
        [
          "$[0].sensor[0].timestamp",
          "$[0].sensor[1].valor",
          "$[1].sensor[1].valor",
        ],
      );
    }),
);

refused("a gzip bomb is stopped long before it is inflated", () =>
  withUploads(async (rig) => {
    // 10 MB of zeros, a thousand times over: ten megabytes of gzip that would become ten gigabytes.
    const zeros = gzipSync(Buffer.alloc(10_000_000));
    const bomb = Buffer.concat([gzipSync("["), ...Array(1000).fill(zeros)]);
    const before = process.memoryUsage().rss;
    const problem = await mustRefuse(rig, bomb, GZIP, 413);
    assert.is(problem["code"], "TOO_LARGE");
    const grown = (process.memoryUsage().rss - before) / MIB;
    assert.ok(grown < 100, `RSS grew by ${grown} MiB`);
  }),
);

refused("a plain upload that is nothing but repetition is refused too", () =>
  withUploads(async (rig) => {
    const spaces = Buffer.alloc(20 * MIB, " ");
    spaces[0] = 0x5b;
    spaces[spaces.length - 1] = 0x5d;
    const problem = await mustRefuse(rig, spaces, JSON_TYPE, 413);
    assert.match(String(problem["detail"]), "200 times");
  }),
);

refused("what is larger than the limit when inflated is refused", () =>
  withUploads(
    async (rig) => {
      const text = noise(3 * MIB);
      for (const [body, headers] of [
        [text, JSON_TYPE],
        [gzipSync(text), GZIP],
      ] as const) {
        const problem = await mustRefuse(rig, body, headers, 413);
        assert.is(problem["code"], "TOO_LARGE");
      }
    },
    { maxBytes: 2 * MIB },
  ),
);

refused("other kinds of content are refused before they are read", () =>
  withUploads(async (rig) => {
    for (const headers of [
      { "content-type": "text/csv" },
      { "content-type": "multipart/form-data; boundary=x" },
      { ...JSON_TYPE, "content-encoding": "br" },
    ])
      await mustRefuse(rig, "[]", headers, 415);
  }),
);

refused("an idempotency key that is none is refused", () =>
  withUploads(async (rig) => {
    const headers = { ...JSON_TYPE, "idempotency-key": "k".repeat(256) };
    await mustRefuse(rig, JSON.stringify(uploadOf(1)), headers, 400);
  }),
);

refused("with the store away nothing is left but an answer to come again", () =>
  withUploads(async (rig) => {
    rig.objects.fail = new TwinstreamError("OBJECTS_UNREACHABLE");
    const answer = await rig.upload(large());
    assert.is(answer.status, 503);
    assert.is(answer.body["code"], "OBJECTS_UNREACHABLE");
    assert.ok(Number(answer.headers.get("retry-after")) > 0);
    assert.ok(rig.isClean());
  }),
);

refused("with the store full nothing is left", () =>
  withUploads(async (rig) => {
    rig.objects.room = 100_000;
    await mustRefuse(rig, noise(20 * MIB), JSON_TYPE, 503);
  }),
);

refused("with the database away nothing is stored", () =>
  withUploads(async (rig) => {
    for (const call of ["begin", "stored"] as const) {
      rig.desk.fail.set(call, new TwinstreamError("STORE_UNREACHABLE"));
      const problem = await mustRefuse(rig, large(), JSON_TYPE, 503);
      assert.is(problem["code"], "STORE_UNREACHABLE");
      rig.desk.fail.clear();
    }
  }),
);

refused(
  "when undoing fails too, it is done once the database answers, and the same key is free again",
  () =>
    withUploads(async (rig) => {
      const away = new TwinstreamError("STORE_UNREACHABLE");
      rig.desk.fail.set("stored", away).set("forget", away);
      const body = JSON.stringify(uploadOf(1));
      const key = { ...JSON_TYPE, "idempotency-key": "again" };
      assert.is((await rig.upload(body, key)).status, 503);
      assert.is(rig.objects.kept.size, 1);
      assert.equal(
        [...rig.desk.claims.values()].map(({ state }) => state),
        ["receiving"],
      );
      assert.is((await rig.upload(body, key)).status, 409);
      rig.desk.fail.clear();
      await until(rig.isClean, {
        withinMs: 10_000,
        what: "row and object to be gone",
      });
      assert.is((await rig.upload(body, key)).status, 202);
    }),
);

/** An upload that a test sends piece by piece. */
function begin(url: string, headers: Record<string, string>): ClientRequest {
  const sent = openRequest(url, { method: "POST", headers });
  // Its connection will be cut, by the one side or the other.
  sent.on("error", () => {});
  return sent;
}

refused("a client that leaves at half leaves nothing", () =>
  withUploads(async (rig) => {
    const text = large();
    for (const [body, headers] of [
      [text, JSON_TYPE],
      [gzipSync(text), GZIP],
    ] as const) {
      const sent = begin(rig.url, {
        ...headers,
        "content-length": String(body.length),
      });
      sent.write(body.subarray(0, body.length / 2));
      await until(() => rig.objects.arriving.size === 1, {
        withinMs: 5000,
        what: "the object to arrive",
      });
      sent.destroy();
      await until(rig.isClean, {
        withinMs: 5000,
        what: "nothing to be left of it",
      });
    }
    assert.is(rig.log.appended.length, 0);
  }),
);

refused("a client that leaves before the store is ready leaves nothing", () =>
  withUploads(async (rig) => {
    for (const headers of [JSON_TYPE, GZIP]) {
      let ready = (): void => {};
      rig.objects.slow = new Promise((resolve) => (ready = resolve));
      const closed = new Promise((resolve) =>
        rig.app.server.once("connection", (socket) =>
          socket.once("close", resolve),
        ),
      );
      const sent = begin(rig.url, headers);
      sent.write("[");
      await until(() => rig.objects.arriving.size === 1, {
        withinMs: 5000,
        what: "the store to be asked",
      });
      sent.destroy();
      await within(5000, closed, "the gateway to see it leave");
      ready();
      await until(rig.isClean, {
        withinMs: 5000,
        what: "nothing to be left of it",
      });
    }
  }),
);

refused(
  "two at once with one idempotency key: the second is asked to wait",
  () =>
    withUploads(async (rig) => {
      const text = JSON.stringify(uploadOf(2));
      const headers = { ...JSON_TYPE, "idempotency-key": "file-9" };
      const first = begin(rig.url, headers);
      const answered = new Promise<number>((resolve) =>
        first.on("response", (response) => resolve(response.statusCode ?? 0)),
      );
      first.write(text.slice(0, 100));
      await until(() => rig.desk.claims.size === 1, {
        withinMs: 5000,
        what: "the first to begin",
      });
      const second = await rig.upload(text, headers);
      assert.is(second.status, 409);
      assert.is(second.body["code"], "UPLOAD_UNDER_WAY");
      assert.ok(Number(second.headers.get("retry-after")) > 0);
      first.end(text.slice(100));
      assert.is(await answered, 202);
      assert.is((await rig.upload(text, headers)).status, 202);
      assert.is(rig.objects.kept.size, 1);
      assert.is(rig.log.appended.length, 1);
    }),
);

refused("no more uploads arrive at a time than may", () =>
  withUploads(
    async (rig) => {
      const first = begin(rig.url, JSON_TYPE);
      first.write("[");
      await until(() => rig.desk.claims.size === 1, {
        withinMs: 5000,
        what: "the first to begin",
      });
      const second = await rig.upload(JSON.stringify(uploadOf(1)));
      assert.is(second.status, 503);
      assert.is(second.body["code"], "TOO_MANY_UPLOADS");
      assert.ok(Number(second.headers.get("retry-after")) > 0);
      first.destroy();
      await until(rig.isClean, {
        withinMs: 5000,
        what: "the first to be gone",
      });
      const third = await rig.upload(JSON.stringify(uploadOf(1)));
      assert.is(third.status, 202);
    },
    { maxConcurrent: 1 },
  ),
);

refused("a client that sends a byte at a time is cut off", () =>
  withUploads(async (rig) => {
    const sent = begin(rig.url, JSON_TYPE);
    const cut = new Promise<number>((resolve) => {
      sent.on("response", (response) => resolve(response.statusCode ?? 0));
      sent.on("close", () => resolve(0));
    });
    let over = false;
    void cut.then(() => (over = true));
    for (sent.write("["); !over; sent.write(" "))
      await Promise.race([cut, pause(1000)]); // A pace, not a wait.
    assert.is(await cut, 408);
    await until(rig.isClean, {
      withinMs: 5000,
      what: "nothing to be left of it",
    });
  }),
);

refused("closing the gateway undoes what was arriving", async () => {
  let left: BulkRig | undefined;
  await withUploads(async (rig) => {
    left = rig;
    begin(rig.url, JSON_TYPE).write("[");
    await until(() => rig.desk.claims.size === 1, {
      withinMs: 5000,
      what: "the upload to begin",
    });
  });
  assert.ok(left?.isClean());
});

refused.run();
