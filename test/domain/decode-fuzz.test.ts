import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import type { DeadLetter, Message } from "../../src/domain/message.js";
import { DEAD_LETTER_REASONS } from "../../src/errors.js";
import { heard, recordOf, RULES } from "./records.js";

const { decode, decodeCommand } = createDecoder(RULES);

const fuzz = suite("fuzz");

/** Texts near to what is accepted: real members with values of any kind. */
const near = fc
  .record(
    {
      schema: fc.oneof(
        fc.constantFrom("v1", "parsec_v1", "bulk_v1"),
        fc.jsonValue(),
      ),
      ts: fc.oneof(
        fc.constantFrom("2025-11-20T10:00:00Z", 1763632800, "x"),
        fc.jsonValue(),
      ),
      points: fc.oneof(
        fc.array(
          fc.record(
            {
              name: fc.oneof(fc.string(), fc.jsonValue()),
              t: fc.constantFrom("float", "bool", "text", "what"),
              v: fc.oneof(fc.double(), fc.jsonValue()),
              u: fc.jsonValue(),
              ts: fc.jsonValue(),
            },
            { requiredKeys: [] },
          ),
          { maxLength: 3 },
        ),
        fc.jsonValue(),
      ),
      cmd_id: fc.jsonValue(),
      ok: fc.jsonValue(),
      meta: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  .map((it) => Buffer.from(JSON.stringify(it)));

const payloads = fc.oneof(
  near,
  fc.json().map((it) => Buffer.from(it)),
  fc.uint8Array({ maxLength: 60 }).map((it) => Buffer.from(it)),
);
const kinds = fc.constantFrom(
  "data",
  "hello",
  "ack",
  "event",
  "state",
  "bulk",
) as fc.Arbitrary<"data" | "hello" | "ack" | "event" | "state" | "bulk">;

function settled(outcome: Message | DeadLetter): void {
  if (isDeadLetter(outcome)) {
    assert.ok(DEAD_LETTER_REASONS.includes(outcome.reason));
    assert.ok(outcome.detail.length > 0);
    return;
  }
  assert.is.not(outcome.address, "");
  assert.ok(outcome.arrivalUs > 0);
  if (outcome.kind !== "data" && outcome.kind !== "bulk") return;
  assert.ok(Number.isSafeInteger(outcome.timeUs));
  if (outcome.kind === "bulk") assert.ok(outcome.points.length > 0);
  if (outcome.kind === "data") {
    const { points, conflicts, refused } = outcome;
    const names = [...points, ...refused].map((it) => it.name);
    assert.is(new Set(names).size, names.length, "names are distinct");
    const items = [...points, ...conflicts, ...refused].map((it) => it.item);
    assert.equal(
      items.toSorted((a, b) => a - b),
      items.map((_, i) => i),
      "every point is in one place",
    );
    for (const { value } of points)
      assert.ok(value === null || Math.abs(value) <= 1e140);
    for (const { value } of refused) assert.ok(Math.abs(value!) > 1e140);
  }
  for (const point of outcome.points)
    assert.is(
      point.typeClass === "text"
        ? typeof point.text === "string" && point.value === null
        : Number.isFinite(point.value) && point.text === null,
      true,
    );
}

fuzz("whatever a device sends is a message or a dead letter", () => {
  let messages = 0;
  fc.assert(
    fc.property(payloads, kinds, (payload, kind) => {
      const outcome = decode(heard(payload, { kind }));
      settled(outcome);
      if (!isDeadLetter(outcome) && outcome.kind === "data") messages++;
    }),
    { numRuns: 5000 },
  );
  assert.ok(messages > 20, `only ${messages} were good telemetry`);
});

fuzz("whatever lies on the log is a message or a dead letter", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        payloads,
        fc
          .dictionary(
            fc.constantFrom(
              "device_id",
              "payload",
              "payload_base64",
              "too_large",
              "timestamp",
              "tenant",
              "site",
              "kind",
              "topic",
            ),
            fc.oneof(fc.jsonValue(), fc.constantFrom("dev-1", 1763632800)),
          )
          .map((it) => Buffer.from(JSON.stringify(it))),
      ),
      fc.option(fc.constantFrom("dev-1", "", "a/b", "\u0000")),
      (value, key) => settled(decode(recordOf(key, value))),
    ),
    { numRuns: 5000 },
  );
});

fuzz("whatever lies among the commands is a message or a dead letter", () => {
  const fields = fc.constantFrom(
    "kind",
    "tenant",
    "device_id",
    "cmd_id",
    "op",
    "params",
    "by",
    "ts",
    "expires_at",
    "queue",
    "extra",
  );
  const values = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom("command", "release", "cancel", "dev-1", 1763632800),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        payloads,
        fc
          .dictionary(fields, values)
          .map((it) => Buffer.from(JSON.stringify(it))),
      ),
      fc.option(fc.constantFrom("dev-1", "", "a/b")),
      (value, key) => settled(decodeCommand(recordOf(key, value))),
    ),
    { numRuns: 3000 },
  );
});

fuzz("a record with any of its bytes changed is still one or the other", () => {
  const record = heard({
    schema: "v1",
    ts: "2025-11-20T10:00:00Z",
    points: [{ name: "a", t: "text", v: "x\u0001" }],
  });
  const value = record.value ?? Buffer.alloc(0);
  for (let at = 0; at < value.length; at++)
    for (const byte of [0x00, 0x22, 0x2c, 0x30, 0x5c, 0x7d, 0xff]) {
      const changed = Buffer.from(value);
      changed[at] = byte;
      settled(decode({ ...record, value: changed }));
    }
});

fuzz.run();
