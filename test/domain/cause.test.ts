/** Letters of one cause have one fingerprint, whatever differs from message to message; letters of two causes have two. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { causeOf } from "../../src/domain/cause.js";
import { explainPoints } from "../../src/domain/adapters/v1.js";
import type { DeadLetterReason } from "../../src/errors.js";

const test = suite("causes of dead letters");

const of = (
  detail: string,
  over: {
    reason?: DeadLetterReason;
    deviceId?: string | null;
    payload?: string | Buffer;
    item?: number;
  } = {},
) =>
  causeOf({
    reason: "invalid_schema",
    deviceId: "dev-1",
    item: -1,
    ...over,
    detail,
    payload: Buffer.from(over.payload ?? "{}"),
  });

test("what differs from message to message is no part of a cause", () => {
  const pairs: [string, string, string][] = [
    [
      'points[3].v: expected a finite number for t "float", got "7,3"',
      'points[11].v: expected a finite number for t "num", got "9\\"4"…',
      "points[].v: expected a finite number for t …, got …",
    ],
    [
      "ts: 2025-10-07T15:30:00.000Z is longer ago than raw readings are kept",
      "ts: 2024-01-01T00:00:00.123456Z is longer ago than raw readings are kept",
      "ts: … is longer ago than raw readings are kept",
    ],
    [
      "payload: not JSON: Unexpected token 'b', \"{broken\" is not valid JSON",
      'payload: not JSON: Expected "," or "}" at position 12 (line 1 column 13)',
      "payload: not JSON",
    ],
    [
      `payload: 5000000 bytes, sha256 ${"ab12".repeat(16)}; its first 65536 bytes are kept`,
      `payload: 4999999 bytes, sha256 ${"cd34".repeat(16)}; its first 65536 bytes are kept`,
      "payload: … bytes, sha256 …; its first … bytes are kept",
    ],
    ["di1: got -1.5e+9", "di1: got 7", "di1: got …"],
  ];
  for (const [one, other, cause] of pairs) {
    assert.is(of(one).cause, cause);
    assert.equal(of(other), of(one));
  }
});

test("the device's own name is no part of a cause, and its neighbours' are not mistaken for it", () => {
  const said = (at: string) =>
    `the record's key is not its device's address ${at}`;
  const one = of(said("dev-1"));
  assert.is(one.cause, "the record's key is not its device's address …");
  assert.equal(of(said("acme/dev-22"), { deviceId: "dev-22" }), one);
  assert.is(of("dev-12 crashed").cause, "dev-… crashed");
  assert.match(of("got a string", { deviceId: "a" }).cause, /got a string/);
});

test("reason, path, adapter and firmware tell causes apart", () => {
  const v1 = (fw: string) => `{"schema":"v1","meta":{"fw":"${fw}"}}`;
  const all = [
    of("points[0].v: wrong"),
    of("points[0].t: wrong"),
    of("points[0].v: wrong", { reason: "bad_timestamp" }),
    of("points[0].v: wrong", { payload: '{"schema":"v1"}' }),
    of("points[0].v: wrong", { payload: v1("1.2.3") }),
    of("points[0].v: wrong", { payload: v1("1.2.4") }),
  ];
  assert.is(
    new Set(all.map(({ fingerprint }) => fingerprint)).size,
    all.length,
  );
  for (const { fingerprint } of all)
    assert.match(fingerprint, /^[0-9a-f]{12}$/);
  assert.is(all[4]!.adapter, "v1");
  assert.is(all[4]!.firmware, "1.2.3");
});

test("adapter and firmware are read from whatever can be read", () => {
  const told = (payload: string | Buffer, item = -1) => {
    const { adapter, firmware } = of("x", { payload, item });
    return [adapter, firmware];
  };
  assert.equal(told('{"SCHEMA":"parsec_v1","FW":"9"}'), ["parsec_v1", "9"]);
  assert.equal(told('{"schema":"parsec_v1","fw":"9"}'), ["parsec_v1", "9"]);
  assert.equal(told('{"schema":7,"meta":null,"fw":{}}'), [null, null]);
  assert.equal(told(`{"schema":"${"x".repeat(500)}"}`), ["x".repeat(64), null]);
  for (const payload of ["", "{", "[1]", "null", Buffer.from([0x7b, 0xff])])
    assert.equal(told(payload), [null, null]);
  assert.equal(told('{"schema":"v1"}', 3), [null, null], "a point's letter");
});

test("every index and every wrong value of a v1 message is one cause", () => {
  const good = { name: "a", t: "float", v: 1 };
  const causes = new Set<string>();
  for (const wrong of ["7,3", null, true, [], "NaN"])
    for (let at = 0; at < 4; at++) {
      const points = Array.from({ length: 5 }, () => ({ ...good }) as object);
      points[at] = { ...good, v: wrong };
      causes.add(of(explainPoints(points).detail).cause);
    }
  // Strings are one, and each kind of value that is none is another.
  assert.equal(
    [...causes].toSorted(),
    ["an array", "null", "true", "…"].map(
      (got) => `points[].v: expected a finite number for t …, got ${got}`,
    ),
  );
});

test.run();
