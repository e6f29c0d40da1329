/** Records of the log as people and programs are shown them. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { recordJson, recordText } from "../../src/main/log-print.js";
import type { LogRecord } from "../../src/domain/message.js";

const print = suite("records of the log, printed");

const recordOf = (value: string | Buffer | null): LogRecord => ({
  topic: "iot-data",
  partition: 3,
  offset: 42,
  key: Buffer.from("acme/press-7"),
  value: typeof value === "string" ? Buffer.from(value) : value,
  headers: { "bridge-id": "hall 1", dup: "1" },
  timestampMs: Date.UTC(2026, 0, 1),
});

print(
  "a person reads where it is, when, its key, its headers, its value",
  () => {
    assert.is(
      recordText(recordOf('{\n  "t": 7.3\n}')),
      'iot-data/3@42  2026-01-01T00:00:00.000Z  key=acme/press-7  bridge-id="hall 1"  dup=1\n  { "t": 7.3 }',
    );
    assert.match(recordText(recordOf(null)), "(no value)");
    assert.match(
      recordText(recordOf(Buffer.from([0xff, 0]))),
      "(2 bytes that are no text)",
    );
    assert.match(
      recordText(recordOf("x".repeat(9000))),
      "… (9000 bytes; --json has all of it)",
    );
  },
);

print("nothing that a device wrote moves the cursor", () => {
  const text = recordText(recordOf('"\u001B[2J\u0007\u009B1m"'));
  assert.not.match(text.replace("\n", ""), /\p{Cc}/u);
});

print("a program reads one line, with the value as it was written", () => {
  const line = recordJson(recordOf('{\r\n"n": 12345678901234567890}'));
  assert.not.match(line, "\n");
  assert.match(line, '"value":{ "n": 12345678901234567890}}');
  assert.equal(JSON.parse(line).headers, { "bridge-id": "hall 1", dup: "1" });
  assert.is(JSON.parse(recordJson(recordOf("{not"))).value_text, "{not");
  assert.is(
    JSON.parse(recordJson(recordOf(Buffer.from([255])))).value_base64,
    "/w==",
  );
  assert.is(JSON.parse(recordJson(recordOf(null))).value, null);
});

print.run();
