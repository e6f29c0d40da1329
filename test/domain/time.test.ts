import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  parseSeconds,
  parseTime,
  toIso,
  toSeconds,
} from "../../src/domain/time.js";

const time = suite("time");

/** Microseconds from 1970 to 2255, the range in which a double holds each of them. */
const micros = fc.bigInt({ min: 0n, max: (1n << 53n) - 1n });

/** Microseconds from 1970 to 2106, the range in which seconds in a double tell each of them. */
const microsOfSeconds = fc.bigInt({ min: 0n, max: (1n << 32n) * 1_000_000n });

/** Decimal text of a whole number divided by a power of ten, without any floating point. */
function decimal(value: bigint, places: number): string {
  const text = String(value).padStart(places + 1, "0");
  return `${text.slice(0, -places)}.${text.slice(-places)}`;
}

time("forms of ISO 8601 that devices use", () => {
  const us = Date.UTC(2025, 9, 7, 15, 30, 0) * 1000;
  for (const [text, more] of [
    ["2025-10-07T15:30:00Z", 0],
    ["2025-10-07T15:30:00", 0],
    ["2025-10-07T15:30Z", 0],
    ["2025-10-07 15:30:00z", 0],
    ["2025-10-07t15:30:00.5Z", 500_000],
    ["2025-10-07T15:30:00,25Z", 250_000],
    ["2025-10-07T15:30:00.123456Z", 123_456],
    ["2025-10-07T15:30:00.123456789Z", 123_456],
    ["2025-10-07T15:30:00.999999999Z", 999_999],
    ["2025-10-07T12:30:00-03:00", 0],
    ["2025-10-07T12:30:00-0300", 0],
    ["2025-10-07T12:30:00-03", 0],
    ["2025-10-07T21:00:00+05:30", 0],
  ] as const)
    assert.is(parseTime(text), us + more, text);
  assert.is(parseTime("2025-10-07"), Date.UTC(2025, 9, 7) * 1000);
  assert.is(parseTime("2024-02-29T00:00:00Z"), Date.UTC(2024, 1, 29) * 1000);
});

time("what is no time is NaN", () => {
  for (const bad of [
    "",
    "noon",
    "2025",
    "2025-10",
    "2025-13-01T00:00:00Z",
    "2025-00-01T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2025-04-31T00:00:00Z",
    "2025-10-07T24:00:00Z",
    "2025-10-07T15:60:00Z",
    "2025-10-07T15:30:60Z",
    "2025-10-07T15",
    "2025-10-07T15:3",
    "2025-10-07T15:30:",
    "2025-10-07T15:30:00.Z",
    "2025-10-07T15:30:00.1234567890Z",
    "2025-10-07T15:30:00ZZ",
    "2025-10-07T15:30:00 Z",
    "2025-10-07T15:30:00+3",
    "2025-10-07T15:30:00+24:00",
    "2025-10-07T15:30:00+03:60",
    "2025-10-07T15:30:00+030",
    "2025-10-07T15:30:00+03:0",
    "2025/10/07T15:30:00Z",
    " 2025-10-07T15:30:00Z",
    "10000-01-01T00:00:00Z",
    "1763600000",
    null,
    undefined,
    true,
    {},
    [],
    Number.NaN,
    Infinity,
    -Infinity,
  ])
    assert.ok(Number.isNaN(parseTime(bad)), JSON.stringify(bad));
});

time("numbers from 1e11 are milliseconds, below it seconds", () => {
  assert.is(parseTime(1e11), 1e14);
  assert.is(parseTime(99_999_999_999), 99_999_999_999e6);
  assert.is(parseTime(1_763_600_000), 1_763_600_000_000_000);
  assert.is(parseTime(1_763_600_000_123), 1_763_600_000_123_000);
  assert.is(parseTime(-1), -1_000_000);
});

time("every day of four centuries is where Date has it", () => {
  const day = 86_400_000;
  const last = Date.UTC(2200, 0, 1);
  for (let ms = Date.UTC(1800, 0, 1); ms < last; ms += day) {
    const text = new Date(ms).toISOString();
    if (parseTime(text) !== ms * 1000) assert.unreachable(text);
  }
});

time("ISO text of any microsecond is read back exactly", () => {
  fc.assert(
    fc.property(micros, (us) => {
      const text = toIso(Number(us));
      assert.is(parseTime(text), Number(us), text);
    }),
    { numRuns: 2000 },
  );
});

time("a zone shifts by exactly its hours and minutes", () => {
  fc.assert(
    fc.property(
      micros,
      fc.integer({ min: -1439, max: 1439 }),
      (us, minutes) => {
        const local = toIso(Number(us)).slice(0, -1);
        const ahead = Math.abs(minutes);
        const hhmm = [Math.floor(ahead / 60), ahead % 60]
          .map((it) => String(it).padStart(2, "0"))
          .join(":");
        const text = `${local}${minutes < 0 ? "-" : "+"}${hhmm}`;
        assert.is(parseTime(text), Number(us - BigInt(minutes) * 60_000_000n));
      },
    ),
  );
});

time("seconds with six places and milliseconds with three lose nothing", () => {
  fc.assert(
    fc.property(microsOfSeconds, (us) => {
      assert.is(parseSeconds(Number(decimal(us, 6))), Number(us));
      assert.is(parseSeconds(toSeconds(Number(us))), Number(us));
      const ms = Number(decimal(us, 3));
      if (ms >= 1e11) assert.is(parseTime(ms), Number(us));
    }),
    { numRuns: 2000 },
  );
});

time("toSeconds is the double nearest to the exact quotient", () => {
  fc.assert(
    fc.property(micros, (us) => {
      // Number() of decimal text is correctly rounded by definition.
      assert.is(toSeconds(Number(us)), Number(decimal(us, 6)));
    }),
    { numRuns: 2000 },
  );
});

time("toIso shows three digits of fraction, or six where needed", () => {
  assert.is(toIso(1_763_600_000_000_000), "2025-11-20T00:53:20.000Z");
  assert.is(toIso(1_763_600_000_120_000), "2025-11-20T00:53:20.120Z");
  assert.is(toIso(1_763_600_000_123_456), "2025-11-20T00:53:20.123456Z");
  assert.is(toIso(-1), "1969-12-31T23:59:59.999999Z");
});

time.run();
