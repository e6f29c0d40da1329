/** Decompression: what others write is understood, and no bytes unfold without bound. */
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { compressFrameSync } from "lz4-napi";
import { compressSync } from "snappy";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  gunzip,
  unlz4,
  unsnappy,
  unzstd,
} from "../../src/adapters/kafka/codecs.js";

const test = suite("codecs");
const MIB = 1024 * 1024;
/** What `yes twinstream | head -c 300000 | zstd` gives. */
const ZSTD_FRAME =
  "KLUv/QRYnAAAWHR3aW5zdHJlYW0KAQDy/86LF0wAAAhlAQD8/zkQAk0AAAhuAQDcEx0IAYgdJgE=";

async function refusal(promise: Promise<Buffer>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as Error).message;
  }
  return "no refusal";
}

/** Blocks as Java clients frame them. */
function xerial(...blocks: Buffer[]): Buffer {
  const head = Buffer.from("82534e41505059000000000100000001", "hex");
  const parts = blocks.flatMap((block) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    return [length, block];
  });
  return Buffer.concat([head, ...parts]);
}

test("gzip, raw and framed snappy and lz4 give back what was compressed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 5000 }),
      fc.integer({ min: 0, max: 5000 }),
      async (bytes, cut) => {
        const data = Buffer.from(bytes);
        const head = compressSync(data.subarray(0, cut));
        const tail = compressSync(data.subarray(cut));
        const frames = [data.subarray(0, cut), data.subarray(cut)]
          .filter((part) => part.length > 0)
          .map((part) => compressFrameSync(part));
        assert.equal(await gunzip(gzipSync(data), MIB), data);
        assert.equal(await unsnappy(compressSync(data), MIB), data);
        assert.equal(await unsnappy(xerial(head, tail), MIB), data);
        if (frames.length === 1)
          assert.equal(await unlz4(frames[0]!, MIB), data);
      },
    ),
    { numRuns: 50 },
  );
});

test("zstd is read, whichever decoder this Node has", async () => {
  const frame = Buffer.from(ZSTD_FRAME, "base64");
  const text = "twinstream\n".repeat(30_000).slice(0, 300_000);
  assert.is(String(await unzstd(frame, MIB)), text);
  assert.match(await refusal(unzstd(frame, 100_000)), /unfolds|larger than/);
});

test("what unfolds to more than the bound is refused before it is there", async () => {
  const zeros = Buffer.alloc(8 * MIB);
  assert.match(await refusal(gunzip(gzipSync(zeros), MIB)), /larger than/);
  assert.match(await refusal(unsnappy(compressSync(zeros), MIB)), /unfolds/);
  assert.match(await refusal(unlz4(compressFrameSync(zeros), MIB)), /unfolds/);
  const claim = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]);
  assert.match(await refusal(unsnappy(claim, MIB)), /unfolds/);
  assert.match(await refusal(unsnappy(xerial(claim, claim), MIB)), /unfolds/);
});

test("bytes that are cut off or foreign are refused by a plain error, since others would end the consumer", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      for (const decompress of [gunzip, unsnappy, unlz4, unzstd])
        await refusal(decompress(Buffer.from(bytes), MIB));
    }),
    { numRuns: 200 },
  );
  const cut = compressFrameSync(Buffer.alloc(1000, "ab")).subarray(0, 20);
  assert.match(await refusal(unlz4(cut, MIB)), /cut off/);
});

test.run();
