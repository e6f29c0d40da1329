/** What a publisher has under way: never more than allowed, and after a reconnect everything again in order. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encodePublish } from "../../src/adapters/mqtt/publish-packet.js";
import { createPublishWindow } from "../../src/adapters/mqtt/publish-window.js";

const windows = suite("the publish window");

windows(
  "has no room before a connection and the broker's limit with one",
  () => {
    const window = createPublishWindow<string>(10);
    assert.is(window.room(), 0);
    window.open(3);
    assert.is(window.room(), 3);
    const id = window.take("a");
    assert.is(window.room(), 2);
    assert.is(window.settle(id), "a");
    assert.is(window.settle(id), undefined);
    assert.is(window.room(), 3);
  },
);

windows("sends all again, oldest first, before it takes anything new", () => {
  const window = createPublishWindow<string>(10);
  window.open(10);
  const ids = ["a", "b", "c", "d"].map((message) => window.take(message));
  window.settle(ids[1]!);
  assert.equal(window.close(), ["a", "c", "d"]);
  window.open(2);
  assert.is(window.room(), 0);
  assert.equal(window.repeat(), { packetId: ids[0], message: "a" });
  assert.equal(window.repeat(), { packetId: ids[2], message: "c" });
  assert.is(window.repeat(), undefined, "the limit is 2");
  assert.is(window.settle(ids[3]!), undefined, "not sent on this connection");
  assert.is(window.settle(ids[0]!), "a");
  assert.equal(window.repeat(), { packetId: ids[3], message: "d" });
  assert.is(window.room(), 0);
  assert.equal(window.close(), ["c", "d"]);
});

windows("loses nothing and stays within its limit, whatever happens", () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant("open" as const),
      n: fc.integer({ min: 1, max: 9 }),
    }),
    fc.record({
      do: fc.constant("take" as const),
      n: fc.integer({ min: 1, max: 9 }),
    }),
    fc.record({ do: fc.constant("settle" as const), n: fc.nat(9) }),
    fc.record({ do: fc.constant("repeat" as const), n: fc.nat(9) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const window = createPublishWindow<number>(6);
      /** The model: what is unanswered, by its number; and what was sent on this connection. */
      const unanswered = new Set<number>();
      const sent = new Map<number, number>();
      let limit = 0;
      let next = 0;
      for (const { do: what, n } of steps) {
        if (what === "open") {
          assert.equal(
            window.close(),
            [...sent.values()].toSorted((a, b) => a - b),
          );
          sent.clear();
          limit = Math.min(6, n);
          window.open(n);
        } else if (what === "take") {
          for (let i = 0; i < n && window.room() > 0; i += 1) {
            sent.set(window.take(next), next);
            unanswered.add(next);
            next += 1;
          }
        } else if (what === "repeat") {
          const again = window.repeat();
          if (again !== undefined) sent.set(again.packetId, again.message);
        } else {
          const [packetId, message] = [...sent][n] ?? [];
          if (packetId === undefined) continue;
          assert.is(window.settle(packetId), message);
          sent.delete(packetId);
          unanswered.delete(message!);
        }
        assert.ok(sent.size <= limit);
        assert.equal(window.unanswered(), [...unanswered]);
      }
    }),
    { numRuns: 300 },
  );
});

windows.run();

const packets = suite("a PUBLISH packet");
const topic = Buffer.from("a/b");

packets("is the bytes that the specification says", () => {
  const payload = Buffer.from("hi");
  const bytes = (packetId: number, dup: boolean, properties: boolean) =>
    encodePublish({ topic, payload, packetId, dup, properties }).toString(
      "hex",
    );
  assert.is(bytes(0, false, false), "3007" + "0003612f62" + "6869");
  assert.is(bytes(258, false, false), "3209" + "0003612f62" + "0102" + "6869");
  assert.is(
    bytes(258, true, true),
    "3a0a" + "0003612f62" + "0102" + "00" + "6869",
  );
});

packets("has a length of as many bytes as it needs", () => {
  const lengthBytes = (size: number) =>
    encodePublish({
      topic,
      payload: Buffer.alloc(size),
      packetId: 0,
      dup: false,
      properties: false,
    })
      .subarray(1, 4)
      .toString("hex");
  assert.is(lengthBytes(122), "7f" + "0003");
  assert.is(lengthBytes(123), "8001" + "00");
  assert.is(lengthBytes(16_384 - 5), "808001");
});

packets.run();
