import { createHash } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import type {
  CommandRequest,
  DeadLetter,
  LogRecord,
  Message,
} from "../../src/domain/message.js";
import { heard, NOW_MS, recordOf, RULES } from "./records.js";

const { decode, decodeCommand } = createDecoder(RULES);

/** The message without what every kind has in common. */
function own(outcome: Message | DeadLetter): Record<string, unknown> {
  if (isDeadLetter(outcome)) throw new Error(outcome.detail);
  const { source, address, tenant, deviceId, site, arrivalUs, ...rest } =
    outcome;
  assert.is(address, tenant === "default" ? deviceId : `${tenant}/${deviceId}`);
  assert.ok(source.offset === 42 && site !== undefined && arrivalUs > 0);
  return rest;
}

/** `reason: detail` of a dead letter. */
function why(outcome: Message | DeadLetter): string {
  if (!isDeadLetter(outcome)) throw new Error(`a ${outcome.kind} message`);
  return `${outcome.reason}: ${outcome.detail}`;
}

const sha256 = (text: string) =>
  createHash("sha256").update(text).digest("hex");

const hello = suite("hello and state");

hello("a hello may say anything, even nothing", () => {
  for (const payload of [
    "",
    "hi",
    '{"a":1}',
    "[",
    "\u0000",
    Buffer.from([255]),
  ])
    assert.equal(own(decode(heard(payload, { kind: "hello" }))), {
      kind: "hello",
    });
  const bare = `{"device_id":"dev-1","timestamp":1763632800,"kind":"hello"}`;
  assert.equal(own(decode(recordOf("dev-1", bare))), { kind: "hello" });
});

hello("a state is online or offline", () => {
  const acme = { tenant: "acme", site: "hq", kind: "state" } as const;
  for (const [payload, online] of [
    ["online", true],
    ["offline", false],
    ['"online"', true],
    ['"offline"', false],
  ] as const)
    assert.equal(own(decode(heard(payload, acme))), { kind: "state", online });
  for (const payload of ["", "ONLINE", "on", "1", '{"state":"online"}'])
    assert.match(
      why(decode(heard(payload, acme))),
      "invalid_schema: payload: expected online or offline",
    );
});

hello.run();

const acks = suite("acks");

const ack = (payload: string | object) =>
  decode(heard(payload, { kind: "ack" }));

acks("an ack says which command, how it went and when", () => {
  const payload = `{"schema":"v1","cmd_id":"01K9ZX","ok":true,"ts_exec":"2025-10-07T02:34:15Z","err":null}`;
  assert.equal(own(ack(payload)), {
    kind: "ack",
    cmdId: "01K9ZX",
    ok: true,
    execUs: Date.UTC(2025, 9, 7, 2, 34, 15) * 1000,
    err: null,
    hash: sha256(payload),
  });
});

acks("without a time of its own the arrival counts", () => {
  const payload = `{"cmd_id":"c","ok":false,"err":"jammed"}`;
  assert.equal(own(ack(payload)), {
    kind: "ack",
    cmdId: "c",
    ok: false,
    execUs: NOW_MS * 1000,
    err: "jammed",
    hash: sha256(payload),
  });
});

acks(
  "a device whose clock is wrong has executed its command all the same",
  () => {
    for (const ts_exec of [0, "1970-01-01T00:00:01Z", "2106-01-01T00:00:00Z"])
      assert.is(own(ack({ cmd_id: "c", ok: true, ts_exec }))["ok"], true);
  },
);

acks("what is no ack is said in words", () => {
  for (const [payload, expected] of [
    ["", "parse_error: payload: not JSON"],
    ["[]", "invalid_schema: payload: expected an object"],
    [{ ok: true }, "invalid_schema: cmd_id: expected 1 to 128"],
    [{ cmd_id: "", ok: true }, "invalid_schema: cmd_id: "],
    [{ cmd_id: 7, ok: true }, "invalid_schema: cmd_id: "],
    [{ cmd_id: "c" }, "invalid_schema: ok: expected true or false"],
    [{ cmd_id: "c", ok: 1 }, "invalid_schema: ok: "],
    [{ cmd_id: "c", ok: true, err: 7 }, "invalid_schema: err: "],
    [{ cmd_id: "c", ok: true, ts_exec: "x" }, "invalid_schema: ts_exec: "],
    [{ cmd_id: "c", ok: true, ts_exec: 1e300 }, "bad_timestamp: ts_exec: "],
    [{ cmd_id: "c", ok: true, ts_exec: -1 }, "bad_timestamp: ts_exec: "],
    [{ schema: "v2", cmd_id: "c", ok: true }, "unknown_schema: schema: "],
    [
      '{"cmd_id":"c","ok":true,"err":"\\u0000"}',
      'invalid_schema: "err": holds',
    ],
  ] as const)
    assert.match(why(ack(payload)), expected);
});

acks.run();

const events = suite("events and bulk notes");

const acme = { tenant: "acme", site: "hq" } as const;

events("an event is any object, at its own time or its arrival's", () => {
  const event = (payload: string) =>
    decode(heard(payload, { ...acme, kind: "event" }));
  const timed = `{"type":"boot","ts":1763632000}`;
  assert.equal(own(event(timed)), {
    kind: "event",
    timeUs: 1_763_632_000_000_000,
    payload: timed,
    hash: sha256(timed),
  });
  assert.is(own(event(`{"type":"boot"}`))["timeUs"], NOW_MS * 1000);
  assert.match(why(event("[]")), "invalid_schema");
  assert.match(why(event("{")), "parse_error");
  assert.match(why(event(`{"ts":"x"}`)), "invalid_schema: ts: expected");
  assert.match(why(event(`{"ts":0}`)), "bad_timestamp");
});

const note = {
  schema: "bulk_v1",
  claim_id: "c-1",
  received_at: "2025-11-20T09:00:00Z",
  points: [
    { name: "a", t: "float", v: 1, ts: "2025-11-20T08:00:00Z" },
    { name: "a", t: "float", v: 2, ts: "2025-11-20T08:30:00Z" },
    { name: "b", t: "text", v: "x", u: null, ts: 1763625600 },
  ],
};
const bulk = (payload: object) => decode(heard(payload, { kind: "bulk" }));

events("a bulk note has the time of its newest point", () => {
  const { points, ...rest } = own(bulk(note));
  assert.equal(rest, {
    kind: "bulk",
    claimId: "c-1",
    timeUs: Date.UTC(2025, 10, 20, 8, 30) * 1000,
    seenUs: Date.UTC(2025, 10, 20, 9) * 1000,
    payload: JSON.stringify(note),
  });
  assert.is((points as unknown[]).length, 3);
});

events("what is no bulk note is said in words", () => {
  for (const [more, expected] of [
    [{ schema: "v1" }, "unknown_schema"],
    [{ claim_id: null }, "invalid_schema: claim_id: "],
    [{ received_at: null }, "invalid_schema: received_at: "],
    [{ points: [] }, "invalid_schema: points: expected 1 to 1000"],
    [
      { points: [{ name: "a", t: "float", v: 1 }] },
      "invalid_schema: points[0].ts: expected a time",
    ],
    [
      { points: [{ name: "a", t: "float", v: "1", ts: 1763625600 }] },
      "invalid_schema: points[0].v: ",
    ],
    [
      { points: [{ name: "a", t: "float", v: 1, ts: 4e9 }] },
      "bad_timestamp: points: ",
    ],
  ] as const)
    assert.match(why(bulk({ ...note, ...more })), expected);
});

events.run();

const commands = suite("commands");

const asked = {
  kind: "command",
  tenant: "acme",
  device_id: "dev-1",
  cmd_id: "01K9ZX",
  op: "reset_fault",
  params: { hard: true },
  by: "ana",
  ts: "2025-11-20T10:00:00Z",
  expires_at: "2025-11-20T10:05:00Z",
  queue: true,
  supersedes: null,
  precondition: null,
  extra: { command: "reset_fault" },
};
const requested = (value: object | string | null, key = "acme/dev-1") =>
  decodeCommand(
    recordOf(
      key,
      typeof value === "object" && value !== null
        ? JSON.stringify(value)
        : value,
      { topic: "device-commands" },
    ),
  );

commands("a request is read whole", () => {
  const outcome = requested(asked);
  assert.equal(own(outcome), {
    kind: "command",
    command: {
      cmdId: "01K9ZX",
      op: "reset_fault",
      params: { hard: true },
      by: "ana",
      createdUs: Date.UTC(2025, 10, 20, 10) * 1000,
      expiresUs: Date.UTC(2025, 10, 20, 10, 5) * 1000,
      queue: true,
      supersedes: null,
      precondition: null,
      extra: { command: "reset_fault" },
    },
  });
});

commands("it may take a slot and have a condition", () => {
  const precondition = { point: "status", op: "ne", value: "RUN" };
  const { command } = own(
    requested({ ...asked, supersedes: "speed", precondition }),
  );
  const { supersedes, precondition: read } = command as CommandRequest;
  assert.is(supersedes, "speed");
  assert.equal(read, precondition);
});

commands("a cancellation names a command of its device", () => {
  const { tenant, device_id, cmd_id, by, ts } = asked;
  const value = { kind: "cancel", tenant, device_id, cmd_id, by, ts };
  assert.equal(own(requested(value)), {
    kind: "cancel",
    cancel: {
      tenant: "acme",
      deviceId: "dev-1",
      cancels: "01K9ZX",
      by: "ana",
      askedUs: Date.UTC(2025, 10, 20, 10) * 1000,
    },
  });
});

commands("tenant, params, by, queue and extra may be left out", () => {
  const { kind, device_id, cmd_id, op, ts, expires_at } = asked;
  const least = { kind, device_id, cmd_id, op, ts, expires_at };
  const { command } = own(requested(least, "dev-1"));
  assert.equal(command, {
    cmdId: "01K9ZX",
    op: "reset_fault",
    params: {},
    by: "",
    createdUs: Date.UTC(2025, 10, 20, 10) * 1000,
    expiresUs: Date.UTC(2025, 10, 20, 10, 5) * 1000,
    queue: false,
    supersedes: null,
    precondition: null,
    extra: {},
  });
});

commands("a release ends a quarantine", () => {
  assert.equal(own(requested({ kind: "release", device_id: "d" }, "d")), {
    kind: "release",
  });
});

commands("what is no command is said in words", () => {
  for (const [value, expected] of [
    [null, "parse_error: the record has no value"],
    ["{", "parse_error: "],
    ["[]", "invalid_schema: "],
    [{ ...asked, kind: "cancel", cmd_id: 7 }, "invalid_schema: cmd_id: "],
    [{ ...asked, kind: "cancel", ts: "x" }, "invalid_schema: ts: "],
    [{ ...asked, kind: "toString" }, "invalid_schema: kind: "],
    [{ ...asked, device_id: "a b" }, "invalid_schema: device_id: "],
    [{ ...asked, tenant: 7 }, "invalid_schema: tenant: "],
    [{ ...asked, tenant: "nobody" }, "wrong_partition: "],
    [{ ...asked, cmd_id: "" }, "invalid_schema: cmd_id: "],
    [{ ...asked, op: "" }, "invalid_schema: op: "],
    [{ ...asked, by: 7 }, "invalid_schema: by: "],
    [{ ...asked, ts: null }, "invalid_schema: ts: "],
    [{ ...asked, expires_at: "x" }, "invalid_schema: expires_at: "],
    [{ ...asked, queue: 1 }, "invalid_schema: queue: "],
    [{ ...asked, extra: [] }, "invalid_schema: extra: "],
    [{ ...asked, precondition: {} }, "invalid_schema: precondition.point: "],
    [{ ...asked, supersedes: "" }, "invalid_schema: supersedes: "],
    [{ ...asked, supersedes: 7 }, "invalid_schema: supersedes: "],
    [{ ...asked, op: "a\u0000" }, 'invalid_schema: "op": holds NUL'],
  ] as const)
    assert.match(why(requested(value)), expected);
});

commands("a command lies in its device's lane, of a tenant that exists", () => {
  const record: LogRecord = recordOf("acme/dev-1", JSON.stringify(asked));
  assert.match(
    why(decodeCommand({ ...record, partition: (record.partition + 1) % 12 })),
    "wrong_partition",
  );
  assert.match(
    why(requested({ ...asked, tenant: "nobody" }, "nobody/dev-1")),
    "unknown_tenant: there is no tenant nobody",
  );
});

commands.run();
