/** Records of the log: our encoder and decoder in kafkajs' place give what kafkajs' own give. */
import { createRequire } from "node:module";
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createRecordDecoder } from "../../src/adapters/kafka/record-decoder.js";
import {
  batchEncoder,
  type EncodeBatch,
  encodeRecord,
} from "../../src/adapters/kafka/record-encoder.js";

const test = suite("records");
const require = createRequire(import.meta.url);
const Decoder = require("kafkajs/src/protocol/decoder") as new (
  bytes: Buffer,
) => { buffer: Buffer; readVarIntBytes(): Buffer };
const encode = require("kafkajs/src/protocol/recordBatch/record/v0") as (
  record: unknown,
) => { buffer: Buffer };
/** Loaded before anything of ours could take its place: this file connects to no log. */
const theirs =
  require("kafkajs/src/protocol/recordBatch/record/v0/decoder") as (
    bytes: { buffer: Buffer },
    batch: unknown,
  ) => { headers: Record<string, Buffer | Buffer[]> };

const bytes = fc.option(
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
);
const batch = fc.record({
  // Offsets are taken to be exact in a double (see LogRecord).
  firstOffset: fc.nat({ max: 2 ** 31 - 1 }).map((n) => String(n * 2 ** 20)),
  firstTimestamp: fc.integer({ min: 0, max: 4e12 }).map(String),
  maxTimestamp: fc.integer({ min: 0, max: 4e12 }).map(String),
  timestampType: fc.constantFrom(0, 1),
  isControlBatch: fc.boolean(),
  magicByte: fc.constant(2),
});
const record = fc.record({
  offsetDelta: fc.nat({ max: 2 ** 31 - 1 }),
  timestampDelta: fc.oneof(
    fc.integer({ min: -70, max: 70 }),
    fc.integer({ min: -(2 ** 29), max: 2 ** 29 }),
    fc.integer({ min: -4e12, max: 4e12 }),
  ),
  key: bytes,
  value: bytes,
  headers: fc.dictionary(
    fc.string({ maxLength: 20 }).filter((name) => !(name in {})),
    fc.oneof(fc.string(), fc.array(fc.string(), { minLength: 1 })),
    { maxKeys: 5 },
  ),
});

/** As `recordsOf` used to read kafkajs' headers: of several the last, as text. */
const textOf = (value: Buffer | Buffer[]): string =>
  String(Array.isArray(value) ? value.at(-1) : value);

test("a record is decoded as by kafkajs", () => {
  const ours = createRecordDecoder();
  fc.assert(
    fc.property(batch, fc.array(record, { maxLength: 4 }), (of, records) => {
      for (const written of records) {
        const whole = new Decoder(encode(written).buffer).readVarIntBytes();
        const expected = theirs(new Decoder(whole), of);
        const headers: Record<string, string> = {};
        for (const [name, value] of Object.entries(expected.headers))
          headers[name] = textOf(value);
        assert.equal(ours({ buffer: whole }, of), { ...expected, headers });
      }
    }),
    { numRuns: 500 },
  );
});

test("a record is encoded as by kafkajs", () => {
  const header = fc.string({ maxLength: 200 });
  fc.assert(
    fc.property(
      record,
      fc.option(fc.string()),
      fc.dictionary(header, header, { maxKeys: 5 }),
      (written, key, headers) => {
        for (const one of [
          { ...written, headers },
          { ...written, headers, key },
        ])
          assert.equal(encodeRecord(one).buffer, encode(one).buffer);
      },
    ),
    { numRuns: 500 },
  );
  assert.equal(encodeRecord({}).buffer, encode({}).buffer);
});

test("a batch of records is encoded as by kafkajs", async () => {
  const kafkajs = "kafkajs/src/protocol/recordBatch";
  const { RecordBatch } = require(`${kafkajs}/v0`) as {
    RecordBatch: EncodeBatch;
  };
  const checksum = require(`${kafkajs}/crc32C`) as (bytes: Buffer) => number;
  const ours = batchEncoder(checksum, RecordBatch);
  const long = fc.maxSafeNat();
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        records: fc.array(
          record.map((of) => encodeRecord({ ...of, headers: {} })),
          { maxLength: 20 },
        ),
        compression: fc.constantFrom(0, 1),
        firstTimestamp: long,
        maxTimestamp: long,
        lastOffsetDelta: fc.nat(),
        producerId: fc.oneof(fc.constant("-1"), long.map(String)),
        producerEpoch: fc.integer({ min: -1, max: 32767 }),
        firstSequence: fc.nat({ max: 2 ** 31 - 1 }),
        transactional: fc.boolean(),
      }),
      async (batch) => {
        const [mine, expected] = await Promise.all([
          ours(batch),
          RecordBatch(batch),
        ]);
        assert.equal(mine.buffer, expected.buffer);
        assert.is(mine.size(), expected.size());
      },
    ),
  );
});

test("a record that ends too early or counts wrongly neither throws nor takes long", () => {
  const ours = createRecordDecoder();
  const of = {
    firstOffset: "1",
    firstTimestamp: "1",
    maxTimestamp: "1",
    timestampType: 0,
    isControlBatch: false,
    magicByte: 2,
  };
  const billions = Buffer.from([0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]);
  assert.equal(ours({ buffer: billions }, of).headers, {});
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (array) => {
      ours({ buffer: Buffer.from(array) }, of);
    }),
  );
});

test.run();
