/**
 * Bad and borderline input, and what exactly becomes of each: the rows or the reason. For the decoder's own test and
 * for the test that sends the same bytes through MQTT to the database. One table, hence one long file.
 */
import type { DeadLetterReason } from "../../src/errors.js";

export interface BadInput {
  readonly name: string;
  /** What the device publishes when its clock says `nowMs` (Unix milliseconds). */
  readonly payload: (nowMs: number) => Buffer;
  /** The MQTT topic of a device; `devices/{id}/data` where absent. */
  readonly topic?: (deviceId: string) => string;
  /** Above a broker's packet limit of 2.5 MiB: such a broker refuses it, and nothing of it reaches the log. */
  readonly brokerRefuses?: true;
  readonly outcome: Stored | Refused;
}

export interface Stored {
  readonly stored: readonly ExpectedPoint[];
  /** Points that become no rows, in the order of the message. */
  readonly leftOut?: readonly LeftOut[];
  /** Milliseconds of the rows' time relative to `nowMs`; absent where the arrival counts. */
  readonly timeMs?: number;
}
export interface Refused {
  readonly reason: DeadLetterReason;
  /** A part of the detail. */
  readonly detail: string;
}
export interface ExpectedPoint {
  readonly name: string;
  readonly typeClass: "num" | "bool" | "text";
  readonly value: number | null;
  readonly text: string | null;
}

export interface LeftOut extends ExpectedPoint {
  /** `conflict`: an earlier point has its name. `row_refused`: figures of its number would overflow. */
  readonly reason: "conflict" | "row_refused";
  /** Its place in the message, and its type there. */
  readonly item: number;
  readonly t: string;
}

export const num = (name: string, value: number): ExpectedPoint => ({
  name,
  typeClass: "num",
  value,
  text: null,
});
const bool = (name: string, value: 0 | 1): ExpectedPoint => ({
  name,
  typeClass: "bool",
  value,
  text: null,
});
const text = (name: string, value: string): ExpectedPoint => ({
  name,
  typeClass: "text",
  value: null,
  text: value,
});

export const conflict = (
  item: number,
  t: string,
  point: ExpectedPoint,
): LeftOut => ({ ...point, reason: "conflict", item, t });
const refused = (item: number, t: string, point: ExpectedPoint): LeftOut => ({
  ...point,
  reason: "row_refused",
  item,
  t,
});

const DAY_MS = 86_400_000;

/** A v1 message with this JSON text for its points; `ts` is `nowMs` unless said otherwise. */
const v1 =
  (points: string, ts: (nowMs: number) => string = iso) =>
  (nowMs: number): Buffer =>
    Buffer.from(`{"schema":"v1","ts":${ts(nowMs)},"points":${points}}`);
const iso = (nowMs: number): string => `"${new Date(nowMs).toISOString()}"`;
const raw = (bytes: string | readonly number[]) => (): Buffer =>
  typeof bytes === "string" ? Buffer.from(bytes) : Buffer.from(bytes);

const point = (name: string, t: string, v: string): string =>
  `{"name":"${name}","t":"${t}","v":${v}}`;
const GOOD = `[${point("t", "float", "7.3")}]`;
const good: Stored = { stored: [num("t", 7.3)], timeMs: 0 };
const invalid = (detail: string): Refused => ({
  reason: "invalid_schema",
  detail,
});
const manyPoints = (count: number): string =>
  `[${Array.from({ length: count }, (_, i) => point(`p${i}`, "int", String(i))).join()}]`;
const MEGABYTE = 1_000_000;

export const BAD_INPUT: readonly BadInput[] = [
  // ---- bytes
  {
    name: "broken JSON",
    payload: raw('{"schema":"v1",'),
    outcome: { reason: "parse_error", detail: "payload: not JSON" },
  },
  {
    name: "an empty payload as telemetry",
    payload: raw(""),
    outcome: { reason: "parse_error", detail: "payload: not JSON" },
  },
  {
    name: "text that is no JSON",
    payload: raw("hello"),
    outcome: { reason: "parse_error", detail: "payload: not JSON" },
  },
  {
    name: "the word NaN",
    payload: raw('{"t":NaN}'),
    outcome: { reason: "parse_error", detail: "payload: not JSON" },
  },
  {
    name: "bytes that are not UTF-8",
    payload: raw([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    outcome: { reason: "parse_error", detail: "payload: not UTF-8" },
  },
  {
    name: "a lone surrogate encoded as if it were UTF-8",
    payload: raw([0x22, 0xed, 0xa0, 0x80, 0x22]),
    outcome: { reason: "parse_error", detail: "payload: not UTF-8" },
  },
  {
    name: "a byte order mark before the JSON",
    payload: raw('\uFEFF{"t":1}'),
    outcome: { reason: "parse_error", detail: "payload: not JSON" },
  },
  // ---- shape
  {
    name: "an array",
    payload: raw("[1,2]"),
    outcome: invalid("payload: expected an object, got an array"),
  },
  ...(["7", "true", "null", '"text"'] as const).map((scalar) => ({
    name: `the scalar ${scalar}`,
    payload: raw(scalar),
    outcome: invalid(`payload: expected an object, got ${scalar}`),
  })),
  {
    name: "an object without anything in it",
    payload: raw("{}"),
    outcome: invalid("payload: expected 1 to 1000 points, got none"),
  },
  {
    name: "brackets nested a hundred thousand deep",
    payload: raw(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    outcome: invalid("printable characters"),
  },
  {
    name: "v1 without ts",
    payload: raw(`{"schema":"v1","points":${GOOD}}`),
    outcome: invalid("ts: expected a time, got nothing"),
  },
  {
    name: "v1 without points",
    payload: (now) => Buffer.from(`{"schema":"v1","ts":${iso(now)}}`),
    outcome: invalid("points: expected an array, got nothing"),
  },
  {
    name: "v1 with an empty list of points",
    payload: v1("[]"),
    outcome: invalid("points: expected 1 to 1000 points, got none"),
  },
  {
    name: "v1 with 1,000 points",
    payload: v1(manyPoints(1000)),
    outcome: {
      stored: Array.from({ length: 1000 }, (_, i) => num(`p${i}`, i)),
      timeMs: 0,
    },
  },
  {
    name: "v1 with 1,001 points",
    payload: v1(manyPoints(1001)),
    outcome: invalid("points: expected 1 to 1000 points, got more"),
  },
  {
    name: "a plain object with 1,001 numbers",
    payload: raw(
      JSON.stringify(
        Object.fromEntries(
          Array.from({ length: 1001 }, (_, i) => [`p${i}`, i]),
        ),
      ),
    ),
    outcome: invalid("payload: expected 1 to 1000 points, got more"),
  },
  {
    name: "points that are an object",
    payload: v1("{}"),
    outcome: invalid("points: expected an array, got an object"),
  },
  ...(["null", "7", "[]"] as const).map((it) => ({
    name: `a point that is ${it}`,
    payload: v1(`[${it}]`),
    outcome: invalid("points[0]: expected an object"),
  })),
  {
    name: "meta that is a list",
    payload: (now) =>
      Buffer.from(
        `{"schema":"v1","ts":${iso(now)},"points":${GOOD},"meta":[1]}`,
      ),
    outcome: invalid("meta: expected an object, got an array"),
  },
  // ---- types and values
  ...(
    [
      ["float", '"7.3"', "a finite number"],
      ["num", "true", "a finite number"],
      ["int", "7.5", "a whole number"],
      ["int", '"7"', "a whole number"],
      ["bool", "1", "true or false"],
      ["bool", '"true"', "true or false"],
      ["enum", "7", "a string"],
      ["text", "false", "a string"],
      ["string", "null", "a string"],
      ["float", "null", "a finite number"],
      ["float", "{}", "a finite number"],
    ] as const
  ).map(([t, v, expected]) => ({
    name: `t ${t} with the value ${v}`,
    payload: v1(`[${point("a", "float", "1")},${point("b", t, v)}]`),
    outcome: invalid(`points[1].v: expected ${expected} for t "${t}", got`),
  })),
  {
    name: "a point without a value",
    payload: v1('[{"name":"a","t":"float"}]'),
    outcome: invalid("points[0].v: expected a finite number"),
  },
  {
    name: "an unknown t",
    payload: v1(`[${point("a", "double", "1")}]`),
    outcome: invalid("points[0].t: expected one of float num int"),
  },
  {
    name: "a t that every object inherits",
    payload: v1(`[${point("a", "constructor", "1")}]`),
    outcome: invalid("points[0].t: expected one of"),
  },
  {
    name: "a unit that is a number",
    payload: v1('[{"name":"a","t":"float","v":1,"u":5}]'),
    outcome: invalid("points[0].u: expected a string, got 5"),
  },
  {
    name: "1e999 in a v1 point",
    payload: v1(`[${point("a", "float", "1e999")}]`),
    outcome: invalid('points[0].v: expected a finite number for t "float"'),
  },
  {
    name: "−1e999 as an int",
    payload: v1(`[${point("a", "int", "-1e999")}]`),
    outcome: invalid("points[0].v: expected a whole number"),
  },
  {
    name: "1e999 in a plain object",
    payload: raw('{"a":{"b":1e999}}'),
    outcome: invalid("a.b: expected a finite number, got Infinity"),
  },
  {
    name: "1e999 as ts",
    payload: v1(GOOD, () => "1e999"),
    outcome: invalid("ts: expected ISO 8601"),
  },
  {
    name: "integers beyond 2^53",
    payload: v1(
      `[${point("a", "int", "9007199254740993")},${point("b", "int", "-12345678901234567890")}]`,
    ),
    outcome: {
      stored: [num("a", 9007199254740992), num("b", -12345678901234567000)],
      timeMs: 0,
    },
  },
  {
    name: "numbers that averages can bear, and one beyond them among its neighbours",
    payload: v1(
      `[${point("a", "num", "1e140")},${point("b", "int", "-1e140")},${point("c", "num", "5e-324")},${point("d", "float", "1e300")},${point("e", "bool", "true")}]`,
    ),
    outcome: {
      stored: [
        num("a", 1e140),
        num("b", -1e140),
        num("c", 5e-324),
        bool("e", 1),
      ],
      leftOut: [refused(3, "float", num("d", 1e300))],
      timeMs: 0,
    },
  },
  {
    name: "no number that averages can bear",
    payload: raw('{"a":{"b":-1.7976931348623157e308}}'),
    outcome: {
      stored: [],
      leftOut: [refused(0, "num", num("a.b", -Number.MAX_VALUE))],
    },
  },
  {
    name: "a number beyond bearing, its name again, and another: the first counts",
    payload: v1(
      `[${point("a", "float", "1")},${point("b", "num", "1.1e140")},${point("b", "num", "2")},${point("a", "num", "-1e200")}]`,
    ),
    outcome: {
      stored: [num("a", 1)],
      leftOut: [
        refused(1, "num", num("b", 1.1e140)),
        conflict(2, "num", num("b", 2)),
        conflict(3, "num", num("a", -1e200)),
      ],
      timeMs: 0,
    },
  },
  // ---- names and text
  ...(
    [
      ["empty", ""],
      ["of 129 characters", "x".repeat(129)],
      ["with a tab", "a\\tb"],
      ["with DEL", "a\u007f"],
      ["with a C1 control", "a\u0085"],
      ["with a line separator", "a\u2028"],
      ["with a right-to-left override", "a\u202eb"],
    ] as const
  ).map(([what, name]) => ({
    name: `a point name ${what}`,
    payload: v1(`[${point(name, "float", "1")}]`),
    outcome: invalid(
      "points[0].name: expected a name of 1 to 128 printable characters",
    ),
  })),
  {
    name: "a point without a name",
    payload: v1('[{"t":"float","v":1}]'),
    outcome: invalid("points[0].name: expected a name"),
  },
  {
    name: "names of 128 characters, in ASCII and beyond",
    payload: v1(
      `[${point("x".repeat(128), "float", "1")},${point("\u{1F321}".repeat(128), "float", "2")}]`,
    ),
    outcome: {
      stored: [num("x".repeat(128), 1), num("\u{1F321}".repeat(128), 2)],
      timeMs: 0,
    },
  },
  {
    name: "NUL in a text",
    payload: v1(`[${point("a", "text", '"x\\u0000"')}]`),
    outcome: invalid('"points.0.v": holds NUL or half of a surrogate pair'),
  },
  {
    name: "a lone surrogate in a text",
    payload: v1(`[${point("a", "text", '"\\ud800"')}]`),
    outcome: invalid('"points.0.v": holds NUL or half of a surrogate pair'),
  },
  {
    name: "a lone surrogate in the name of a plain object's member",
    payload: raw('{"\\uDC00":1}'),
    outcome: invalid("holds NUL or half of a surrogate pair"),
  },
  {
    name: "whole surrogate pairs and an escaped backslash",
    payload: v1(`[${point("a", "text", '"\\ud83d\\ude00 \\\\u0000"')}]`),
    outcome: { stored: [text("a", "\u{1F600} \\u0000")], timeMs: 0 },
  },
  {
    name: "a point name twice: the first counts",
    payload: v1(
      `[${point("a", "float", "1")},${point("b", "float", "2")},${point("a", "text", '"x"')}]`,
    ),
    outcome: {
      stored: [num("a", 1), num("b", 2)],
      leftOut: [conflict(2, "text", text("a", "x"))],
      timeMs: 0,
    },
  },
  {
    name: "one name a thousand times",
    payload: v1(
      `[${Array<string>(1000)
        .fill(point("a", "int", "1"))
        .join()}]`,
    ),
    outcome: {
      stored: [num("a", 1)],
      leftOut: Array.from({ length: 999 }, (_, i) =>
        conflict(i + 1, "int", num("a", 1)),
      ),
      timeMs: 0,
    },
  },
  {
    name: "two ways to one dotted path",
    payload: raw('{"a.b":1,"a":{"b":2}}'),
    outcome: {
      stored: [num("a.b", 1)],
      leftOut: [conflict(1, "num", num("a.b", 2))],
    },
  },
  {
    name: "__proto__ as a point name",
    payload: v1(
      `[${point("__proto__", "int", "1")},${point("constructor", "int", "2")}]`,
    ),
    outcome: {
      stored: [num("__proto__", 1), num("constructor", 2)],
      timeMs: 0,
    },
  },
  {
    name: "__proto__ as a member of a plain object",
    payload: raw('{"__proto__":{"schema":"v1","on":true},"toString":3}'),
    outcome: {
      stored: [
        text("__proto__.schema", "v1"),
        bool("__proto__.on", 1),
        num("toString", 3),
      ],
    },
  },
  // ---- schema
  {
    name: "an unknown schema",
    payload: raw('{"schema":"v9","ts":1,"points":[]}'),
    outcome: { reason: "unknown_schema", detail: 'no adapter for "v9"' },
  },
  ...(["__proto__", "constructor", "plain", "V1", ""] as const).map((it) => ({
    name: `the schema ${JSON.stringify(it)}`,
    payload: raw(JSON.stringify({ schema: it, a: 1 })),
    outcome: { reason: "unknown_schema", detail: "no adapter for" } as const,
  })),
  ...(["1", "null", '["v1"]', "{}"] as const).map((it) => ({
    name: `a schema that is ${it}`,
    payload: raw(`{"schema":${it},"a":1}`),
    outcome: { reason: "unknown_schema", detail: "no adapter for" } as const,
  })),
  {
    name: "parsec without ts",
    payload: raw('{"schema":"parsec_v1","di1":1}'),
    outcome: invalid("ts: expected a time, got nothing"),
  },
  {
    name: "parsec with rssi in words",
    payload: (now) =>
      Buffer.from(`{"schema":"parsec_v1","ts":${iso(now)},"rssi":"weak"}`),
    outcome: invalid('rssi: expected a finite number, got "weak"'),
  },
  // ---- times
  ...(
    [
      '"yesterday"',
      '"2025-02-30T00:00:00Z"',
      '"1763600000"',
      "true",
      "{}",
      '""',
    ] as const
  ).map((ts) => ({
    name: `the time ${ts}`,
    payload: v1(GOOD, () => ts),
    outcome: invalid("ts: expected ISO 8601, Unix seconds or milliseconds"),
  })),
  {
    name: "a plain object whose time is no time",
    payload: raw('{"time":"noon","a":1}'),
    outcome: invalid("time: expected ISO 8601"),
  },
  ...(
    [
      ["9999", '"9999-12-31T23:59:59Z"'],
      ["1970", '"1970-01-01T00:00:00Z"'],
      ["1999", '"1999-12-31T23:59:59.999Z"'],
      ["1970, Unix seconds", "0"],
      ["55887, microseconds taken for milliseconds", "1763600000000000"],
      ["beyond all years", "1e300"],
      ["before the epoch", "-1"],
      ["0000", '"0000-01-01T00:00:00Z"'],
    ] as const
  ).map(([year, ts]) => ({
    name: `the year ${year}`,
    payload: v1(GOOD, () => ts),
    outcome: { reason: "bad_timestamp", detail: "ts: " } as const,
  })),
  {
    name: "25 hours ahead",
    payload: v1(GOOD, (now) => iso(now + 25 * 3_600_000)),
    outcome: { reason: "bad_timestamp", detail: "24 h ahead" },
  },
  {
    name: "23 hours ahead",
    payload: v1(GOOD, (now) => iso(now + 23 * 3_600_000)),
    outcome: { ...good, timeMs: 23 * 3_600_000 },
  },
  {
    name: "31 days old",
    payload: v1(GOOD, (now) => iso(now - 31 * DAY_MS)),
    outcome: { reason: "too_old", detail: "longer ago than raw readings" },
  },
  {
    name: "29 days old",
    payload: v1(GOOD, (now) => iso(now - 29 * DAY_MS)),
    outcome: { ...good, timeMs: -29 * DAY_MS },
  },
  // ---- topics
  ...(
    [
      ["a blank", (id: string) => `devices/${id} x/data`],
      ["another script", (id: string) => `devices/${id}é/data`],
      ["no device", () => "devices//data"],
      ["129 characters", (id: string) => `devices/${id.padEnd(129, "x")}/data`],
    ] as const
  ).map(([what, topic]) => ({
    name: `a topic segment with ${what}`,
    payload: raw('{"a":1}'),
    topic,
    outcome: { reason: "bad_topic", detail: "device " } as const,
  })),
  {
    name: "a tenant that does not exist",
    payload: raw('{"a":1}'),
    topic: (id) => `traksense/nobody/hq/${id}/telem`,
    outcome: { reason: "unknown_tenant", detail: "there is no tenant nobody" },
  },
  // ---- sizes
  {
    name: "2 MB",
    payload: v1(`[${point("a", "text", `"${"x".repeat(2 * MEGABYTE)}"`)}]`),
    outcome: { stored: [text("a", "x".repeat(2 * MEGABYTE))], timeMs: 0 },
  },
  {
    name: "3 MB",
    payload: v1(`[${point("a", "text", `"${"x".repeat(3 * MEGABYTE)}"`)}]`),
    brokerRefuses: true,
    outcome: { stored: [text("a", "x".repeat(3 * MEGABYTE))], timeMs: 0 },
  },
  {
    name: "5 MB",
    payload: v1(`[${point("a", "text", `"${"x".repeat(5 * MEGABYTE)}"`)}]`),
    brokerRefuses: true,
    outcome: { reason: "too_large", detail: "payload: 5000" },
  },
];
