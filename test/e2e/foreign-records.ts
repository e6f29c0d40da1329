/** Records that other producers may write, past the bridge: good ones in other forms, and every fault of an envelope. */
import { TOPIC } from "../../src/domain/names.js";
import { partitionOf } from "../../src/domain/partition.js";
import type { OutgoingRecord } from "../../src/ports.js";

export interface ForeignRecord extends OutgoingRecord {
  /** `iot-data` where absent. */
  readonly topic?: string;
  /** `device point value` of the rows it makes. */
  readonly rows?: readonly string[];
  readonly letter?: {
    readonly topic: string;
    readonly reason: string;
    readonly detail: string;
    readonly item: number;
    readonly bytes: Buffer;
  };
}

const PARTITIONS = 12;
const PAYLOAD = '{"a":1}';

/** Each fault stands between two good records of its device. `nowMs` is their arrival. */
export function foreignRecords(nowMs: number): ForeignRecord[] {
  const seconds = nowMs / 1000;
  const records: ForeignRecord[] = [];
  let count = 0;

  const good = (device: string, value: number): ForeignRecord => ({
    key: device,
    value: Buffer.from(
      `{"device_id":"${device}","payload":{"n":${value},"ts":${nowMs + value}},"timestamp":${seconds}}`,
    ),
    rows: [`${device} n ${value}`],
  });
  const between = (make: (device: string) => ForeignRecord): void => {
    const device = `foreign-${++count}`;
    records.push(good(device, 1), make(device), good(device, 2));
  };
  /** `bytes` are the record's value where the envelope does not tell the device's own. */
  const refused = (
    value: (device: string) => string | Buffer | null,
    reason: string,
    detail: string,
    more: {
      topic?: (device: string) => string;
      bytes?: string | Buffer;
      key?: (device: string) => string | null;
      partition?: (device: string) => number;
    } = {},
  ): void =>
    between((device) => {
      const given = value(device);
      const bytes = typeof given === "string" ? Buffer.from(given) : given;
      const partition = more.partition?.(device);
      return {
        key: more.key === undefined ? device : more.key(device),
        value: bytes,
        ...(partition === undefined ? {} : { partition }),
        letter: {
          topic: more.topic?.(device) ?? TOPIC.data,
          reason,
          detail,
          item: -1,
          bytes:
            more.bytes === undefined
              ? (bytes ?? Buffer.alloc(0))
              : Buffer.from(more.bytes),
        },
      };
    });
  const envelope = (
    device: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): string =>
    JSON.stringify({
      device_id: device,
      payload: { a: 1 },
      timestamp: seconds,
      ...fields,
    });
  const own = (device: string): string => `devices/${device}/data`;
  const said = { topic: own, bytes: PAYLOAD };
  /** The payload is known, the device's topic is not. */
  const nameless = { bytes: PAYLOAD };

  // ---- stored, in forms that our bridge does not write
  between((device) => ({
    key: device,
    value: Buffer.from(
      `{ "timestamp": ${seconds}, "kind": null, "tenant": "default", "payload": {"a": 3}, "device_id": "${device}", "more": 1 }`,
    ),
    rows: [`${device} a 3`],
  }));
  between((device) => ({
    key: device,
    value: Buffer.from(
      `{"device_id":"${device}","payload_base64":"${Buffer.from('{"a":4}').toString("base64")}","timestamp":${seconds}}`,
    ),
    rows: [`${device} a 4`],
  }));
  // A note of an upload: for the view alone, its rows are stored by the worker.
  between((device) => ({
    key: device,
    value: Buffer.from(
      envelope(device, {
        kind: "bulk",
        payload: {
          schema: "bulk_v1",
          claim_id: "c-1",
          received_at: new Date(nowMs).toISOString(),
          points: [{ name: "a", t: "num", v: 1, ts: nowMs }],
        },
      }),
    ),
  }));

  // ---- in the wrong place
  refused(
    (device) => envelope(device),
    "wrong_partition",
    "its key belongs to",
    {
      ...said,
      partition: (device) => (partitionOf(device, PARTITIONS) + 1) % PARTITIONS,
    },
  );
  refused(
    (device) => envelope(device),
    "wrong_partition",
    "the record's key is not its device's address",
    { ...said, key: (device) => `${device}-else` },
  );
  refused(
    (device) => envelope(device),
    "wrong_partition",
    "the record's key is not its device's address",
    { ...said, key: () => null, partition: () => 0 },
  );

  // ---- values that are no envelope
  refused(() => null, "parse_error", "the record has no value");
  refused(() => "{", "parse_error", "the record's value is not JSON");
  refused(
    () => Buffer.from([0x7b, 0xff, 0x7d]),
    "parse_error",
    "the record's value is not UTF-8",
  );
  refused(() => "[1]", "invalid_schema", "expected an object, got an array");

  // ---- envelopes with a fault
  refused(
    (device) => envelope(device, { kind: "what" }),
    "invalid_schema",
    'kind: "what" is none',
    nameless,
  );
  refused(
    (device) => envelope(device, { device_id: undefined }),
    "invalid_schema",
    "device_id: expected 1 to 128 characters",
    nameless,
  );
  refused(
    (device) => envelope(`${device}/x`),
    "invalid_schema",
    "device_id: expected 1 to 128 characters",
    nameless,
  );
  refused(
    (device) => envelope(device, { timestamp: "now" }),
    "invalid_schema",
    'timestamp: expected Unix seconds, got "now"',
    nameless,
  );
  refused(
    (device) => envelope(device, { timestamp: nowMs }),
    "bad_timestamp",
    "timestamp: expected the time of arrival in Unix seconds",
    said,
  );
  refused(
    (device) => envelope(device, { payload_base64: "e30=" }),
    "invalid_schema",
    "payload, payload_base64 and too_large exclude one another",
  );
  refused(
    (device) => envelope(device, { payload: undefined }),
    "invalid_schema",
    "payload: expected an object, got nothing",
    { topic: own },
  );
  refused(
    (device) => envelope(device, { payload: undefined, too_large: 7 }),
    "invalid_schema",
    "too_large: expected",
  );
  refused(
    (device) =>
      envelope(device, {
        payload: undefined,
        too_large: {
          size: 5_000_000,
          sha256: "ab",
          head_base64: Buffer.from("head").toString("base64"),
        },
      }),
    "too_large",
    "payload: 5000000 bytes, sha256 ab",
    { topic: own, bytes: "head" },
  );
  refused(
    (device) => envelope(device, { tenant: "nobody" }),
    "unknown_tenant",
    "there is no tenant nobody",
    { bytes: PAYLOAD, key: (device) => `nobody/${device}` },
  );
  refused(
    (device) => envelope(device, { kind: "bad_topic" }),
    "invalid_schema",
    "topic: expected a string, got nothing",
    nameless,
  );
  refused(
    (device) => envelope(device, { kind: "ack" }),
    "invalid_schema",
    "cmd_id: expected 1 to 128 visible ASCII characters",
    { bytes: PAYLOAD, topic: (device) => `devices/${device}/ack` },
  );
  refused(
    (device) => envelope(device, { kind: "bulk" }),
    "unknown_schema",
    'schema: expected "bulk_v1"',
    { bytes: PAYLOAD },
  );

  // ---- device-commands
  const command = (
    value: (device: string) => string,
    reason: string,
    detail: string,
    key = (device: string) => device,
  ): void => {
    const device = `foreign-${++count}`;
    const bytes = Buffer.from(value(device));
    records.push({
      topic: TOPIC.commands,
      key: key(device),
      value: bytes,
      letter: { topic: TOPIC.commands, reason, detail, item: -1, bytes },
    });
  };
  command(() => "{", "parse_error", "the record's value is not JSON");
  command(
    (device) => `{"kind":"cancel","device_id":"${device}","cmd_id":"c"}`,
    "invalid_schema",
    "ts: expected a time, got nothing",
  );
  command(
    (device) => `{"kind":"release","device_id":"${device}"}`,
    "wrong_partition",
    "the record's key is not its device's address",
    (device) => `${device}-else`,
  );
  return records;
}
