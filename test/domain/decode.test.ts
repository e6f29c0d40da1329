import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import { encodeBadTopic, encodeEnvelope } from "../../src/domain/envelope.js";
import type {
  DataMessage,
  DeadLetter,
  LogRecord,
  Message,
  Point,
} from "../../src/domain/message.js";
import { address, parseTopic } from "../../src/domain/names.js";
import { BAD_INPUT, type BadInput, type LeftOut } from "./bad-input.js";
import { heard, NOW_MS, PARTITIONS, recordOf, RULES } from "./records.js";

const { decode } = createDecoder(RULES);

/** What the bridge would put on the log for a case of the table. */
function sent({ payload, topic }: BadInput): LogRecord {
  const on = topic?.("dev-1") ?? "devices/dev-1/data";
  const parsed = parseTopic(on, RULES.tenantPrefix);
  const bytes = payload(NOW_MS);
  if ("reason" in parsed)
    return recordOf(
      on,
      encodeBadTopic({ topic: on, payload: bytes, arrivalMs: NOW_MS }),
    );
  return recordOf(
    address(parsed.tenant, parsed.deviceId),
    encodeEnvelope({ ...parsed, payload: bytes, arrivalMs: NOW_MS }),
  );
}

function dataOf(outcome: Message | DeadLetter): DataMessage {
  if (isDeadLetter(outcome)) throw new Error(outcome.detail);
  if (outcome.kind !== "data") throw new Error(outcome.kind);
  return outcome;
}

function deadOf(outcome: Message | DeadLetter): DeadLetter {
  if (!isDeadLetter(outcome)) throw new Error(`a ${outcome.kind} message`);
  return outcome;
}

const told = (points: readonly Point[]) =>
  points.map(({ name, typeClass, value, text }) => ({
    name,
    typeClass,
    value,
    text,
  }));

const leftOutOf = ({ conflicts, refused }: DataMessage): LeftOut[] =>
  [
    ...conflicts.map((point) => ({ point, reason: "conflict" as const })),
    ...refused.map((point) => ({ point, reason: "row_refused" as const })),
  ]
    .map(({ point, reason }) => ({
      ...told([point])[0]!,
      reason,
      item: point.item,
      t: point.type,
    }))
    .toSorted((a, b) => a.item - b.item);

const bad = suite("bad input");

for (const input of BAD_INPUT)
  bad(input.name, () => {
    const { outcome } = input;
    const decoded = decode(sent(input));
    if ("reason" in outcome) {
      const dead = deadOf(decoded);
      assert.is(dead.reason, outcome.reason, dead.detail);
      assert.ok(dead.detail.includes(outcome.detail), dead.detail);
      assert.is(dead.topic, input.topic?.("dev-1") ?? "devices/dev-1/data");
      assert.is(dead.item, -1);
      const bytes = input.payload(NOW_MS);
      const kept =
        outcome.reason === "too_large" ? bytes.subarray(0, 65_536) : bytes;
      assert.ok(dead.payload.equals(kept), "the device's bytes are kept");
    } else {
      const message = dataOf(decoded);
      assert.equal(told(message.points), outcome.stored);
      assert.equal(leftOutOf(message), outcome.leftOut ?? []);
      assert.is(message.timeUs, (NOW_MS + (outcome.timeMs ?? 0)) * 1000);
      assert.is(message.payload, String(input.payload(NOW_MS)));
    }
  });

bad.run();

const records = suite("records");

const GOOD = { t: 7.3 };

records("a record lies where murmur2 of its key puts it", () => {
  const record = heard(GOOD);
  const elsewhere = (record.partition + 1) % PARTITIONS;
  const dead = deadOf(decode({ ...record, partition: elsewhere }));
  assert.is(dead.reason, "wrong_partition");
  assert.is(
    dead.detail,
    `the record lies in partition ${elsewhere}, its key belongs to ${record.partition}`,
  );
  assert.is(String(dead.payload), '{"t":7.3}');
});

records("a record's key is its device's address", () => {
  const { value } = heard(GOOD);
  for (const key of ["dev-2", "default/dev-1", "dev-1 ", null, "gerät"]) {
    const dead = deadOf(decode(recordOf(key, value)));
    assert.is(dead.reason, "wrong_partition", String(key));
    assert.is(dead.deviceId, "dev-1");
  }
  const owned = heard(GOOD, { tenant: "acme", site: "hq" });
  assert.is(
    deadOf(decode(recordOf("dev-1", owned.value))).reason,
    "wrong_partition",
  );
  assert.is(dataOf(decode(owned)).address, "acme/dev-1");
});

records("a bad topic is judged before the key is looked at", () => {
  const topic = "devices/a b/data";
  const value = encodeBadTopic({
    topic,
    payload: Buffer.from("x"),
    arrivalMs: NOW_MS,
  });
  const dead = deadOf(decode(recordOf("other", value, { partition: 3 })));
  assert.is(dead.reason, "bad_topic");
  assert.is(dead.topic, topic);
  assert.is(dead.tenant, null);
  assert.is(dead.deviceId, null);
  assert.is(String(dead.payload), "x");
});

records("other producers' envelopes are judged by the same rules", () => {
  for (const [value, reason, detail] of [
    [null, "parse_error", "no value"],
    ["", "parse_error", "not JSON"],
    ["{", "parse_error", "not JSON"],
    [Buffer.from([0xff]), "parse_error", "not UTF-8"],
    ["[]", "invalid_schema", "expected an object, got an array"],
    ["7", "invalid_schema", "expected an object, got 7"],
    ["{}", "invalid_schema", "device_id: expected 1 to 128 characters"],
    ['{"device_id":7}', "invalid_schema", "device_id: "],
    ['{"device_id":"a/b"}', "invalid_schema", "device_id: "],
    ['{"device_id":"d","tenant":"a b"}', "invalid_schema", "tenant: "],
    ['{"device_id":"d","site":7}', "invalid_schema", "site: "],
    ['{"device_id":"d","kind":"other"}', "invalid_schema", 'kind: "other"'],
    ['{"device_id":"d","kind":7}', "invalid_schema", "kind: 7"],
    ['{"kind":"bad_topic"}', "invalid_schema", "topic: expected a string"],
    ['{"device_id":"d","payload":1}', "invalid_schema", "timestamp: "],
    [
      '{"device_id":"d","payload":1,"timestamp":"2025-11-20T10:00:00Z"}',
      "invalid_schema",
      "timestamp: ",
    ],
    [
      '{"device_id":"d","payload":1,"payload_base64":"","timestamp":1}',
      "invalid_schema",
      "exclude one another",
    ],
    [
      '{"device_id":"d","payload_base64":7,"timestamp":1}',
      "invalid_schema",
      "payload_base64: ",
    ],
    [
      '{"device_id":"d","too_large":7,"timestamp":1}',
      "invalid_schema",
      "too_large: ",
    ],
    [
      '{"device_id":"d","timestamp":1763600000}',
      "invalid_schema",
      "payload: expected an object, got nothing",
    ],
    [
      '{"device_id":"d","payload":{"a":1},"timestamp":1763600000000}',
      "bad_timestamp",
      "timestamp: ",
    ],
    [
      '{"device_id":"d","payload":{"a":1},"timestamp":1e999}',
      "bad_timestamp",
      "timestamp: ",
    ],
    [
      '{"device_id":"d","payload":{"a":1},"timestamp":0}',
      "bad_timestamp",
      "timestamp: ",
    ],
  ] as const) {
    const dead = deadOf(decode(recordOf("d", value)));
    assert.is(dead.reason, reason, `${String(value)}: ${dead.detail}`);
    assert.ok(dead.detail.includes(detail), dead.detail);
  }
});

records("an envelope of another producer in any order is as good", () => {
  const value = `{"timestamp":1763632800.123,"x":1,"payload": {"t": 7.30} ,"device_id":"dev-1"}`;
  const message = dataOf(decode(recordOf("dev-1", value)));
  assert.is(message.payload, `{"t": 7.30}`);
  assert.is(message.timeUs, NOW_MS * 1000);
});

records("base64 of JSON counts as the JSON it is", () => {
  const base64 = Buffer.from('{"t":7.3}').toString("base64");
  const value = `{"device_id":"dev-1","payload_base64":"${base64}","timestamp":1763632800}`;
  assert.is(dataOf(decode(recordOf("dev-1", value))).payload, '{"t":7.3}');
});

records("details can be stored whatever the device sent", () => {
  for (const payload of [
    "\u0000",
    '{"schema":"\\ud800\\u0000"}',
    `{"schema":"${"x".repeat(100_000)}"}`,
    `{"a\\u0000":1}`,
  ]) {
    const { detail } = deadOf(decode(heard(payload)));
    assert.not.match(detail, /[\p{Cc}\p{Cs}]/u);
    assert.ok(detail.length <= 1000);
  }
});

records.run();

const telemetry = suite("telemetry");

telemetry("a v1 message becomes its points at its own time", () => {
  const payload = `{"schema":"v1","ts":"2025-11-20T09:59:59.5Z","points":[{"name":"temp_agua","t":"float","v":7.30,"u":"°C"},{"name":"compressor_1_on","t":"bool","v":true},{"name":"status","t":"enum","v":"RUN","u":null}],"meta":{"fw":"1.2.3"}}`;
  const record = heard(payload, { tenant: "acme", site: "hq" });
  const { source, points, ...message } = dataOf(decode(record));
  assert.is(source, record);
  assert.equal(message, {
    kind: "data",
    address: "acme/dev-1",
    tenant: "acme",
    deviceId: "dev-1",
    site: "hq",
    arrivalUs: NOW_MS * 1000,
    timeUs: Date.UTC(2025, 10, 20, 9, 59, 59, 500) * 1000,
    conflicts: [],
    refused: [],
    payload,
    untimedId: null,
    redelivered: false,
    adapter: "v1",
    firmware: "1.2.3",
  });
  assert.equal(points, [
    {
      name: "temp_agua",
      type: "float",
      typeClass: "num",
      value: 7.3,
      text: null,
      unit: "°C",
      item: 0,
    },
    {
      name: "compressor_1_on",
      type: "bool",
      typeClass: "bool",
      value: 1,
      text: null,
      unit: null,
      item: 1,
    },
    {
      name: "status",
      type: "enum",
      typeClass: "text",
      value: null,
      text: "RUN",
      unit: null,
      item: 2,
    },
  ]);
});

telemetry(
  "a message without a time is known by bridge, packet and hash",
  () => {
    const headers = { "bridge-id": "bridge-1", "mqtt-packet-id": "7" };
    const idOf = (payload: string, more: Record<string, string> = headers) =>
      dataOf(decode(heard(payload, {}, more))).untimedId;
    const id = idOf('{"t":1}');
    assert.match(id ?? "", /^bridge-1:7:[A-Za-z0-9+/]{12}$/);
    assert.is(idOf('{"t":1}'), id);
    assert.is.not(idOf('{"t":2}'), id);
    assert.is(idOf('{"t":1}', { "bridge-id": "bridge-1" }), null);
    assert.is(idOf('{"t":1,"ts":1763632800}'), null);
  },
);

telemetry("the broker's DUP flag is passed on", () => {
  const message = dataOf(decode(heard(GOOD, {}, { "mqtt-dup": "1" })));
  assert.is(message.redelivered, true);
});

telemetry("the bounds of time themselves are allowed", () => {
  const at = (us: number, decoder = decode) =>
    decoder(heard({ ts: us / 1e6, t: 1 }));
  const arrivalUs = NOW_MS * 1000;
  const ahead = arrivalUs + RULES.futureUs;
  assert.is(dataOf(at(ahead)).timeUs, ahead);
  assert.is(deadOf(at(ahead + 1)).reason, "bad_timestamp");
  const oldest = arrivalUs - (RULES.retentionUs ?? 0);
  assert.is(dataOf(at(oldest)).timeUs, oldest);
  assert.is(deadOf(at(oldest - 1)).reason, "too_old");
  const keep = createDecoder({ ...RULES, retentionUs: null }).decode;
  assert.is(dataOf(at(RULES.earliestUs, keep)).timeUs, RULES.earliestUs);
  assert.is(deadOf(at(RULES.earliestUs - 1, keep)).reason, "bad_timestamp");
});

telemetry("the tenants may change while the decoder lives", () => {
  const tenants = new Set(["default"]);
  const decoder = createDecoder({ ...RULES, tenants: () => tenants });
  const record = heard(GOOD, { tenant: "new", site: "hq" });
  const dead = deadOf(decoder.decode(record));
  assert.is(dead.reason, "unknown_tenant");
  assert.is(dead.tenant, "new");
  assert.is(dead.topic, "traksense/new/hq/dev-1/telem");
  tenants.add("new");
  assert.is(dataOf(decoder.decode(record)).tenant, "new");
});

telemetry.run();
