import fc from "fast-check";
import { Partitioners } from "kafkajs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { murmur2, partitionOf } from "../../src/domain/partition.js";

const partition = suite("partition");

partition("murmur2 gives the values of the Java client's own test", () => {
  for (const [key, expected] of [
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
  ] as const)
    assert.is(murmur2(Buffer.from(key)), expected, key);
});

partition("any key goes where kafkajs would put it", () => {
  const theirs = Partitioners.DefaultPartitioner();
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 64 }),
      (bytes, count) => {
        const key = Buffer.from(bytes);
        const partitionMetadata = Array.from({ length: count }, (_, id) => ({
          partitionErrorCode: 0,
          partitionId: id,
          leader: 1,
          replicas: [1],
          isr: [1],
        }));
        assert.is(
          partitionOf(key, count),
          theirs({
            topic: "t",
            partitionMetadata,
            message: { key, value: null },
          }),
        );
      },
    ),
    { numRuns: 500 },
  );
});

partition("a text key counts as its UTF-8 bytes", () => {
  assert.is(
    partitionOf("gerät-1", 12),
    partitionOf(Buffer.from("gerät-1"), 12),
  );
});

partition.run();
