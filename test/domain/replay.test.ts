/** A replayed record is, to the decoder, the record of the place where it lay first. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import { HEADER, type LogRecord } from "../../src/domain/message.js";
import { partitionOf } from "../../src/domain/partition.js";
import {
  originOf,
  replayedPlace,
  replayHeaders,
  sourceOfLetter,
  whyNotReplayable,
} from "../../src/domain/replay.js";
import { deadLetterRecord } from "../../src/pipeline/dead-letters.js";
import { NOW_MS, record } from "../support/messages.js";

const test = suite("replayed records");

const replayOf = (given: string, over: Partial<LogRecord> = {}): LogRecord =>
  record(100, { ...over, headers: { "replay-of": given } });

test("a record says where it lay first, and only if it can have lain there", () => {
  const place = { topic: "iot-data", partition: 0, offset: 7 };
  assert.equal(replayedPlace(replayOf("iot-data/0/7")), place);
  assert.equal(replayedPlace(replayOf("iot-data/3/200")), {
    ...place,
    partition: 3,
    offset: 200,
  });
  for (const given of [
    "iot-data/0/100",
    "iot-data/0/101",
    "iot-data/0/-1",
    "iot-data/0/1e1",
    "iot-data/0/",
    "iot-data/0/7/",
    "other/0/7",
    "",
  ])
    assert.is(replayedPlace(replayOf(given)), null, given);
  assert.is(
    replayedPlace(replayOf("iot-data/0/7", { topic: "device-commands" })),
    null,
  );
  const plain = record(3);
  assert.is(originOf(plain), plain);
  assert.equal(originOf(replayOf("iot-data/0/7")), {
    ...replayOf("iot-data/0/7"),
    ...place,
  });
});

test("from dead letter to replay and back nothing of the record is lost", () => {
  const source = record(7, {
    headers: { [HEADER.bridge]: "b1", [HEADER.packet]: "9", [HEADER.dup]: "1" },
    value: Buffer.from("{broken"),
  });
  const letter = deadLetterRecord(
    {
      source,
      reason: "parse_error",
      detail: "not JSON",
      tenant: null,
      deviceId: null,
      topic: "iot-data",
      payload: Buffer.alloc(0),
      item: -1,
      attempts: 1,
    },
    NOW_MS,
  );
  const onTopic = {
    ...source,
    topic: "iot-data.dlq",
    headers: letter.headers!,
  };
  const place = sourceOfLetter(onTopic)!;
  assert.equal(place, { topic: "iot-data", partition: 0, offset: 7 });
  assert.is(letter.value, source.value);
  assert.equal(replayHeaders(onTopic, place, false), {
    ...source.headers,
    "replay-of": "iot-data/0/7",
  });
  const { [HEADER.dup]: _, ...without } = source.headers;
  assert.equal(
    replayHeaders(onTopic, place, true),
    { ...without, "replay-of": "iot-data/0/7" },
    "its message was applied once: the flag would have it taken for a redelivery",
  );
});

test("a replay is decoded as of its first arrival, and fails at its first place", () => {
  const PARTITIONS = 4;
  const { decode } = createDecoder({
    tenants: new Set(["default"]),
    futureUs: 86_400_000_000,
    earliestUs: 0,
    retentionUs: null,
    tenantPrefix: "traksense",
    partitions: PARTITIONS,
  });
  const arrivalMs = NOW_MS - 9 * 86_400_000;
  const at = (payload: string): LogRecord => ({
    ...replayOf("iot-data/2/7"),
    partition: partitionOf("dev-1", PARTITIONS),
    key: Buffer.from("dev-1"),
    value: encodeEnvelope({
      tenant: "default",
      deviceId: "dev-1",
      site: null,
      kind: "data",
      payload: Buffer.from(payload),
      arrivalMs,
    }),
  });
  const message = decode(at('{"t":1}'));
  assert.not(isDeadLetter(message));
  assert.is("timeUs" in message && message.timeUs, arrivalMs * 1000);
  assert.is(message.source.offset, 7);
  const letter = decode(at('{"schema":"none"}'));
  assert.is("reason" in letter && letter.reason, "unknown_schema");
  assert.is(letter.source.partition, 2);
  assert.is(letter.source.offset, 7);
  const elsewhere = { ...at('{"t":1}'), partition: PARTITIONS + 1 };
  const misplaced = decode(elsewhere);
  assert.is(
    "reason" in misplaced && misplaced.reason,
    "wrong_partition",
    "it is judged by where it lies now",
  );
});

test("what cannot be replayed says why", () => {
  assert.is(whyNotReplayable("iot-data", "unknown_schema"), null);
  assert.is(whyNotReplayable("iot-data", "quarantined"), null);
  assert.match(whyNotReplayable("iot-data", "conflict")!, /first one counts/);
  assert.match(whyNotReplayable("iot-data", "too_large")!, /head/);
  assert.match(whyNotReplayable("iot-data", "wrong_partition")!, /key/);
  assert.match(whyNotReplayable("telemetry.raw", "bulk_invalid")!, /reprocess/);
  assert.match(whyNotReplayable("device-commands", "parse_error")!, /again/);
});

test.run();
