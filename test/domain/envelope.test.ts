import { createHash } from "node:crypto";
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  encodeBadTopic,
  encodeEnvelope,
  fullMessage,
  MAX_ENVELOPE_BYTES,
} from "../../src/domain/envelope.js";
import {
  type BrokenEnvelope,
  type Envelope,
  readAnyForm,
  readEnvelope,
  readOwnForm,
} from "../../src/domain/envelope-reader.js";
import { address } from "../../src/domain/names.js";
import { NOW_MS, recordOf } from "./records.js";

const envelopes = suite("envelopes");

const device = { tenant: "default", deviceId: "dev-1", site: null };
const owned = { tenant: "acme", deviceId: "dev-1", site: "hq" };
const at = { kind: "data", arrivalMs: NOW_MS } as const;

/** The bytes that a reader finds in the envelope. */
function bytesIn(value: Buffer, key: string): Buffer {
  const { payload } = readEnvelope(recordOf(key, value), key);
  if (payload.form === "json") return Buffer.from(payload.text);
  return payload.form === "none" ? Buffer.alloc(0) : payload.bytes;
}

envelopes("the device's JSON stands in it unchanged", () => {
  const payload = Buffer.from(` {"t": 1.0, "b":"\\u00b0C"}\n`);
  assert.is(
    String(encodeEnvelope({ ...device, ...at, payload })),
    `{"device_id":"dev-1","payload": {"t": 1.0, "b":"\\u00b0C"}\n,"timestamp":1763632800.123}`,
  );
});

envelopes("tenant, site and kind are there only when not the default", () => {
  const payload = Buffer.from("{}");
  assert.is(
    String(encodeEnvelope({ ...owned, ...at, kind: "event", payload })),
    `{"device_id":"dev-1","payload":{},"timestamp":1763632800.123,"tenant":"acme","site":"hq","kind":"event"}`,
  );
});

envelopes("what is not JSON travels as base64", () => {
  for (const payload of [
    Buffer.alloc(0),
    Buffer.from("{broken"),
    Buffer.from([0x22, 0xff, 0x22]),
    Buffer.from("\uFEFF{}"),
  ])
    assert.is(
      String(encodeEnvelope({ ...device, ...at, payload })),
      `{"device_id":"dev-1","payload_base64":"${payload.toString("base64")}","timestamp":1763632800.123}`,
    );
});

envelopes("a topic that cannot be read stands in place of the device", () => {
  const topic = 'devices/a b/"data"';
  assert.is(
    String(
      encodeBadTopic({ topic, payload: Buffer.from("1"), arrivalMs: NOW_MS }),
    ),
    `{"topic":"devices/a b/\\"data\\"","payload":1,"timestamp":1763632800.123,"kind":"bad_topic"}`,
  );
});

envelopes("what does not fit is told by size, hash and head", () => {
  for (const payload of [
    Buffer.from(JSON.stringify("x".repeat(MAX_ENVELOPE_BYTES))),
    Buffer.alloc(MAX_ENVELOPE_BYTES, 0xff),
  ]) {
    const value = encodeEnvelope({ ...device, ...at, payload });
    const { too_large: facts, ...rest } = JSON.parse(String(value)) as {
      too_large: unknown;
    };
    assert.equal(rest, { device_id: "dev-1", timestamp: 1763632800.123 });
    assert.equal(facts, {
      size: payload.length,
      sha256: createHash("sha256").update(payload).digest("hex"),
      head_base64: payload.subarray(0, 65_536).toString("base64"),
    });
    assert.equal(bytesIn(value, "dev-1"), payload.subarray(0, 65_536));
  }
});

envelopes("an envelope is at most as large as allowed", () => {
  const payload = Buffer.from(JSON.stringify("x".repeat(1000)));
  const size = encodeEnvelope({ ...device, ...at, payload }).length;
  const keys = (maxBytes: number) =>
    Object.keys(
      JSON.parse(
        String(encodeEnvelope({ ...device, ...at, payload }, maxBytes)),
      ) as object,
    )[1];
  assert.is(keys(size), "payload");
  assert.is(keys(size - 1), "too_large");
});

envelopes("any bytes come back byte for byte", () => {
  const name = fc.stringMatching(/^[A-Za-z0-9._:-]{1,20}$/);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map((it) => Buffer.from(it)),
        fc.json().map((it) => Buffer.from(it)),
        fc.string({ unit: "binary" }).map((it) => Buffer.from(it)),
        fc
          .json({ noUnicodeString: false })
          .map((it) => Buffer.from(` ${it}\r\n`)),
      ),
      fc.constantFrom("data", "hello", "ack", "event", "state"),
      fc.oneof(fc.constant("default"), name),
      fc.option(name),
      name,
      (payload, kind, tenant, site, deviceId) => {
        const value = encodeEnvelope({
          tenant,
          site,
          deviceId,
          kind,
          payload,
          arrivalMs: NOW_MS,
        });
        const key = address(tenant, deviceId);
        assert.equal(bytesIn(value, key), payload);
        const read = readEnvelope(recordOf(key, value), key) as Envelope;
        const { arrivalUs, payload: _, ...rest } = read;
        assert.equal(rest, { kind, tenant, deviceId, address: key, site });
        assert.is(arrivalUs, NOW_MS * 1000);
      },
    ),
    { numRuns: 1000 },
  );
});

/** An envelope in comparable form; the payload's text is compared by what it says. */
function told(envelope: Envelope | BrokenEnvelope): string {
  const { payload, ...rest } = envelope;
  if (payload.form !== "json") return JSON.stringify([rest, payload]);
  const value = JSON.stringify(payload.value);
  assert.is(JSON.stringify(JSON.parse(payload.text)), value);
  return JSON.stringify([rest, value]);
}

/** Texts that lean on the form our bridge writes, each part of it possibly something else. */
const hostile = fc
  .tuple(
    fc.constantFrom('{"device_id":"dev-1","payload":', '{"device_id":"dev-1",'),
    fc.array(
      fc.oneof(
        fc.json(),
        fc.constantFrom(
          "1",
          "{}",
          '{"a":1',
          "}",
          ",",
          ":",
          " ",
          '"x"',
          '"payload"',
          '"device_id"',
          '"dev-2"',
          '"timestamp"',
          '"kind"',
          '"\\u0070ayload"',
          ',"payload":2',
          ',"payload" : {"b":2}',
          ',"timestamp":5',
          ',"timestamp":1763600000.5}',
          '{"timestamp":7}',
          '{"v":1,"timestamp":1763600000}',
          '"},\\"timestamp\\":1}"',
          ',"device_id":"dev-1"',
          ',"tenant":"acme"',
        ),
      ),
      { maxLength: 4 },
    ),
    fc.oneof(
      { weight: 2, arbitrary: fc.constant(',"timestamp":1763600000.123}') },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          "",
          ',"timestamp":0}',
          ',"timestamp":01}',
          ',"timestamp":1.}',
          ',"timestamp":-1}',
          ',"timestamp":1e3}',
          ',"timestamp":1763600000.1234567}',
          ',"timestamp":17636000001.5}',
          ',"timestamp":4305285224.749208}',
          ',"timestamp":1}}',
          ',"timestamp":1} ',
          ',"timestamp":1,"kind":"ack"}',
          ',"timestamp":1,"kind":"what"}',
          ',"timestamp":1,"kind":"bad_topic"}',
          ',"timestamp":1,"kind":null}',
          ',"timestamp":1,"tenant":"default","site":"hq"}',
          ',"timestamp":1,"payload":3}',
          ',"timestamp":1,"payload_base64":""}',
          ',"timestamp":1,"more":3}',
          ',"timestamp":1,"timestamp":2}',
          ',"timestamp":1,"device_id":"dev-2"}',
          ',"timestamp":1,"__proto__":{"site":"x"}}',
          "}",
        ),
      },
    ),
  )
  .map(([head, middle, tail]) => head + middle.join("") + tail);

envelopes("the quick way of reading says what the whole parse says", () => {
  let quick = 0;
  fc.assert(
    fc.property(hostile, (text) => {
      const own = readOwnForm(text, "dev-1");
      const any = readAnyForm(text);
      if (own === null) return;
      quick++;
      assert.is(told(own), told(any), text);
    }),
    { numRuns: 20_000 },
  );
  assert.ok(quick > 500, `only ${quick} texts went the quick way`);
});

envelopes("the quick way is taken by what the bridge writes", () => {
  for (const name of [device, owned]) {
    const payload = Buffer.from(`{"a":1,"timestamp":2,"payload":3,"q":"\\""}`);
    const text = String(encodeEnvelope({ ...name, ...at, payload }));
    const read = readOwnForm(text, address(name.tenant, name.deviceId));
    assert.is(read?.payload.form, "json");
  }
});

envelopes("a key that only looks like the text is not trusted", () => {
  const text = `{"device_id":"a","payload":1,"x":"","payload":{},"timestamp":1}`;
  assert.is(readOwnForm(text, `a","payload":1,"x":"`), null);
});

envelopes("any member order, spacing and nulls of other producers", () => {
  const read = readAnyForm(
    `{ "timestamp": 1763600000, "kind": null, "tenant": null, "payload": {"a": 1.50}, "device_id": "dev-1", "more": 1 }`,
  ) as Envelope;
  assert.is(read.kind, "data");
  assert.is(read.tenant, "default");
  assert.is(read.arrivalUs, 1_763_600_000_000_000);
  assert.is(read.payload.form === "json" && read.payload.text, `{"a": 1.50}`);
});

envelopes("the full message says the reading's time and the names", () => {
  const message = { payload: `{"t": 1.0}`, timeUs: 1_763_600_000_123_456 };
  assert.is(
    fullMessage({ ...device, ...message }),
    `{"device_id":"dev-1","payload":{"t": 1.0},"timestamp":1763600000.123456}`,
  );
  assert.is(
    fullMessage({ ...owned, ...message }),
    `{"device_id":"dev-1","payload":{"t": 1.0},"timestamp":1763600000.123456,"tenant":"acme","site":"hq"}`,
  );
});

envelopes.run();
