/**
 * The readers that decode-fuzz does not reach, under input near to what they take: headers, claim checks, commands' records
 * and bodies, topics, times, uploads' bytes. Nothing throws but what a reader says it throws; every fault has a reason of the
 * closed list.
 */
import { gzipSync } from "node:zlib";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  claimCheckRecord,
  readClaimCheck,
} from "../../src/domain/claim-check.js";
import { readCommandRecord } from "../../src/domain/command-request.js";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import { type Fault, isFault } from "../../src/domain/fault.js";
import { createArraySplitter } from "../../src/domain/json-array.js";
import { isSegment, parseAddress, parseTopic } from "../../src/domain/names.js";
import { readPrecondition } from "../../src/domain/precondition.js";
import { askedTime } from "../../src/domain/reading-search.js";
import { replayedPlace, sourceOfLetter } from "../../src/domain/replay.js";
import { parseTime, toIso } from "../../src/domain/time.js";
import { DEAD_LETTER_REASONS, TwinstreamError } from "../../src/errors.js";
import {
  extraOf,
  mustBeJudgeable,
  mustBeStorable,
  operationOf,
} from "../../src/gateway/commands/body.js";
import {
  elementsOf,
  PoisonedUpload,
} from "../../src/pipeline/upload-reader.js";
import type { ObjectStore } from "../../src/ports.js";
import { heard, recordOf, RULES } from "./records.js";

const fuzz = suite("readers under any input");
const RUNS = { numRuns: 3000, seed: 20_251_128, includeErrorInReport: true };

const words = fc.constantFrom<unknown>(
  "command",
  "cancel",
  "release",
  "dev-1",
  "acme",
  "01JD0000000000000000000000",
  1763632800,
  "2025-11-20T10:00:00Z",
  { point: "status", op: "eq", value: "STOP" },
  true,
  null,
  "\u0000",
  "\udfff",
  1e308,
  "minio",
);
const anything = fc.oneof(words, fc.jsonValue());
/** Objects of these members with values of any kind, and bytes with one changed. */
const near = (...members: string[]) =>
  fc
    .tuple(
      fc.dictionary(
        fc.oneof(
          { weight: 9, arbitrary: fc.constantFrom(...members) },
          { weight: 1, arbitrary: fc.string() },
        ),
        anything,
      ),
      fc.option(fc.tuple(fc.nat(), fc.nat(255))),
    )
    .map(([given, broken]) => {
      const bytes = Buffer.from(JSON.stringify(given));
      if (broken !== null) bytes[broken[0] % bytes.length] = broken[1];
      return bytes;
    });

function isOfTheList(outcome: Fault): void {
  assert.ok(DEAD_LETTER_REASONS.includes(outcome.reason), outcome.reason);
  assert.ok(outcome.detail.length > 0 && outcome.detail.length < 1000);
}

fuzz("headers of any kind change no answer into another record's", () => {
  const { decode } = createDecoder(RULES);
  const names = fc.constantFrom(
    "arrival-ms",
    "bridge-id",
    "mqtt-packet-id",
    "mqtt-dup",
    "mqtt-retained",
    "replay-of",
    "source-topic",
    "source-partition",
    "source-offset",
    "__proto__",
  );
  const values = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "1",
      "iot-data/0/41",
      "iot-data/999999999/999999999999999",
      "iot-data/-1/2",
      "other/0/1",
      "NaN",
      "1e9",
    ),
  );
  fc.assert(
    fc.property(fc.dictionary(names, values), anything, (headers, payload) => {
      const record = heard(JSON.stringify(payload), {}, headers);
      const outcome = decode(record);
      if (isDeadLetter(outcome)) isOfTheList(outcome);
      else assert.is(outcome.address, "dev-1");
      const place = replayedPlace(record);
      if (place !== null) {
        assert.ok(Number.isSafeInteger(place.offset) && place.offset >= 0);
        assert.is(place.topic, "iot-data");
      }
      const source = sourceOfLetter(record);
      if (source !== null) assert.ok(Number.isInteger(source.offset));
    }),
    RUNS,
  );
});

fuzz("a claim check is one as the gateway writes them, or a fault", () => {
  const good = claimCheckRecord({
    claimId: "01JD0000000000000000000000",
    tenant: "acme",
    userId: "u",
    requestId: "r",
    key: "telemetry/2024-01-15-10-30-00/550e8400-e29b-41d4-a716-446655440000.json.gz",
    storageType: "minio",
    fileSize: 10,
    originalSize: 20,
    sha256: "0".repeat(64),
  }).value;
  const members = Object.keys(JSON.parse(String(good)) as object);
  assert.not.ok(isFault(readClaimCheck(good)));
  fc.assert(
    fc.property(
      fc.oneof(
        near(...members),
        fc
          .tuple(fc.constantFrom(...members), anything)
          .map(([name, value]) =>
            Buffer.from(
              JSON.stringify({ ...JSON.parse(String(good)), [name]: value }),
            ),
          ),
        fc.constant(null),
      ),
      (value) => {
        const read = readClaimCheck(value);
        if (isFault(read)) return isOfTheList(read);
        assert.ok(isSegment(read.tenant));
        assert.ok(
          read.key.startsWith("telemetry/") && !read.key.includes(".."),
        );
        assert.ok(read.fileSize >= 0 && read.originalSize >= 0);
      },
    ),
    RUNS,
  );
});

fuzz("a command's record is a command, a cancel, a release or a fault", () => {
  let good = 0;
  const whole = fc
    .record({
      kind: fc.constantFrom("command", "cancel", "release"),
      device_id: fc.constant("dev-1"),
      cmd_id: fc.constant("c1"),
      op: fc.constant("start"),
      by: fc.oneof(fc.constant("ana"), anything),
      ts: fc.oneof(fc.constant("2025-11-20T10:00:00Z"), anything),
      expires_at: fc.oneof(fc.constant("2025-11-20T11:00:00Z"), anything),
      params: anything,
      queue: fc.oneof(fc.boolean(), anything),
      supersedes: fc.oneof(fc.constant(null), anything),
      precondition: fc.oneof(fc.constant(null), anything),
      extra: fc.oneof(fc.constant({}), anything),
    })
    .map((it) => Buffer.from(JSON.stringify(it)));
  fc.assert(
    fc.property(
      fc.oneof(
        whole,
        near("kind", "device_id", "tenant", "cmd_id", "op", "ts", "expires_at"),
      ),
      (value) => {
        const read = readCommandRecord(value);
        if (isFault(read)) return isOfTheList(read);
        good++;
        assert.ok(isSegment(read.deviceId) && isSegment(read.tenant));
      },
    ),
    RUNS,
  );
  assert.ok(good > 50, `only ${good} were read`);
});

fuzz(
  "a command's body is passed on, or refused with the client's own mistake",
  () => {
    const condition = fc.record(
      {
        point: anything,
        op: fc.oneof(fc.constantFrom("eq", "lt"), anything),
        value: anything,
        more: anything,
      },
      { requiredKeys: [] },
    );
    const body = fc.record(
      {
        op: fc.string(),
        command: fc.string(),
        params: anything,
        precondition: condition,
        extra: anything,
        constructor: anything,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(body, (given) => {
        const asRead = JSON.parse(JSON.stringify(given)) as Parameters<
          typeof operationOf
        >[0];
        for (const look of [operationOf, mustBeJudgeable, mustBeStorable])
          try {
            look(asRead);
          } catch (error) {
            assert.ok(error instanceof TwinstreamError, String(error));
            assert.is(error.code, "BAD_REQUEST");
          }
        assert.not.ok("params" in extraOf(asRead));
        const read = readPrecondition(given.precondition);
        if (isFault(read)) isOfTheList(read);
      }),
      RUNS,
    );
  },
);

fuzz("topics, addresses and times of any text are read or refused", () => {
  const segment = fc.oneof(
    fc.constantFrom(
      "devices",
      "traksense",
      "dev-1",
      "data",
      "telem",
      "",
      "+",
      "#",
      "$share",
      "..",
    ),
    fc.string({ unit: "binary", maxLength: 140 }),
  );
  fc.assert(
    fc.property(
      fc.array(segment, { maxLength: 7 }).map((all) => all.join("/")),
      anything,
      (text, value) => {
        const read = parseTopic(text, "traksense");
        if (!("reason" in read)) {
          assert.ok(isSegment(read.deviceId) && isSegment(read.tenant));
          assert.ok(read.site === null || isSegment(read.site));
        }
        const name = parseAddress(text);
        if (name !== null) assert.ok(isSegment(name.deviceId));
        const asked = askedTime(text);
        assert.ok(asked === null || Number.isSafeInteger(asked));
        const us = parseTime(value);
        assert.ok(Number.isNaN(us) || Number.isFinite(us));
        if (us >= 0 && us < 253_402_300_800_000_000) toIso(us);
      },
    ),
    RUNS,
  );
});

fuzz(
  "an upload's bytes give elements or a poisoned upload, and no more than the limits",
  async () => {
    const limits = {
      uploadBytes: 4096,
      maxRatio: 50,
      elementBytes: 200,
      depth: 5,
      elements: 20,
    };
    const texts = fc.oneof(
      fc.json().map((it) => Buffer.from(it)),
      fc
        .array(fc.jsonValue(), { maxLength: 30 })
        .map((it) => Buffer.from(JSON.stringify(it))),
      fc.uint8Array({ maxLength: 300 }).map((it) => Buffer.from(it)),
      fc.nat(60).map((n) => Buffer.from("[".repeat(n))),
      fc.constant(Buffer.alloc(100_000, "[")),
    );
    await fc.assert(
      fc.asyncProperty(
        texts,
        fc.option(fc.tuple(fc.nat(), fc.nat(255))),
        fc.constantFrom<(bytes: Buffer) => Buffer>(
          (bytes) => gzipSync(bytes),
          (bytes) => gzipSync(bytes).subarray(0, -5),
          (bytes) => Buffer.concat([gzipSync(bytes), gzipSync(bytes)]),
          (bytes) => bytes,
        ),
        async (text, broken, packed) => {
          const stored = Buffer.from(packed(text));
          if (broken !== null && stored.length > 0)
            stored[broken[0] % stored.length] = broken[1];
          const objects = {
            type: "filesystem",
            get: async () => Readable.from([stored]),
          } as unknown as ObjectStore;
          const claim = {
            key: "k",
            fileSize: stored.length,
            originalSize: text.length,
            sha256: createHash("sha256").update(stored).digest("hex"),
          } as unknown as Parameters<typeof elementsOf>[1];
          let found = 0;
          try {
            for await (const elements of elementsOf(objects, claim, limits))
              for (const { bytes } of elements) {
                found++;
                assert.ok((bytes?.length ?? 0) <= limits.elementBytes);
              }
          } catch (error) {
            assert.ok(error instanceof PoisonedUpload, String(error));
          }
          assert.ok(found <= limits.elements);
        },
      ),
      { ...RUNS, numRuns: 1500 },
    );
  },
);

fuzz(
  "the array splitter takes any bytes, cut anywhere, and holds to its limits",
  () => {
    const limits = { elementBytes: 40, depth: 4, elements: 10 };
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 30 }),
            fc
              .constantFrom("[", "]", "{", "}", ",", '"', "\\", "[[[[[[", "1,")
              .map((it) => Buffer.from(it)),
          ),
          { maxLength: 20 },
        ),
        (chunks) => {
          const splitter = createArraySplitter(limits);
          let wrong: string | null = null;
          let found = 0;
          for (const chunk of chunks)
            wrong ??= splitter.push(
              Buffer.from(chunk),
              ({ bytes, ordinal }) => {
                assert.is(ordinal, found++);
                assert.ok((bytes?.length ?? 0) <= limits.elementBytes);
              },
            );
          wrong ??= splitter.end();
          assert.ok(found <= limits.elements);
        },
      ),
      { ...RUNS, numRuns: 10_000 },
    );
  },
);

fuzz("a record without a key, a value or a known kind is a dead letter", () => {
  const { decode, decodeCommand } = createDecoder(RULES);
  for (const value of [
    null,
    Buffer.alloc(0),
    Buffer.from("null"),
    Buffer.from("[]"),
  ])
    for (const key of [null, "", "dev-1", "a/b/c"])
      for (const look of [decode, decodeCommand]) {
        const outcome = look(recordOf(key, value));
        assert.ok(isDeadLetter(outcome));
        isOfTheList(outcome);
      }
});

fuzz.run();
