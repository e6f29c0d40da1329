/** What the page reads: payloads, event streams, and what people type into the form of a command. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { bodyOf, EMPTY } from "../../src/gateway/dashboard/command-draft.js";
import { createEventReader } from "../../src/gateway/dashboard/event-stream.js";
import { pointsOf } from "../../src/gateway/dashboard/payload-points.js";

const points = suite("page: points of a payload");

points("a v1 message says its points", () => {
  const payload = {
    schema: "v1",
    ts: "2026-01-15T10:00:00Z",
    points: [
      { name: "temp", t: "float", v: 7.3, u: "°C" },
      { name: "on", t: "bool", v: true },
      { name: "nothing", t: "float", v: null },
      "no point",
    ],
  };
  assert.equal(pointsOf(payload), [
    { name: "temp", value: 7.3, unit: "°C" },
    { name: "on", value: true, unit: null },
  ]);
});

points("a plain object's leaves are points, its time is none", () => {
  const payload = { ts: 1, a: { b: 2, ts: 3 }, c: [4], d: "x", e: null };
  assert.equal(
    pointsOf(payload)?.map(({ name, value }) => [name, value]),
    [
      ["a.b", 2],
      ["a.ts", 3],
      ["d", "x"],
    ],
  );
});

points(
  "a vendor's payload is for the server to read, and no object is none",
  () => {
    assert.is(pointsOf({ schema: "parsec_v1", di1: 1 }), null);
    assert.is(pointsOf([1]), null);
    assert.is(pointsOf(null), null);
  },
);

const stream = suite("page: event streams");

const TEXT =
  ': hello\n\nid: 5.25\nevent: update\ndata: {"a":1,\ndata: "b":2}\n\nevent: ready\r\ndata: x\r\n\r\ndata:  y\n\nevent: nothing\n\n';

stream(
  "events are read with their id, over several lines, and comments are not",
  () => {
    assert.equal(createEventReader().take(TEXT), [
      { event: "update", data: '{"a":1,\n"b":2}', id: "5.25" },
      { event: "ready", data: "x", id: "5.25" },
      { event: "message", data: " y", id: "5.25" },
    ]);
  },
);

stream("wherever the stream is cut, the events are the same", () => {
  const whole = createEventReader().take(TEXT);
  for (let cut = 0; cut <= TEXT.length; cut++) {
    const reader = createEventReader();
    const found = [
      ...reader.take(TEXT.slice(0, cut)),
      ...reader.take(TEXT.slice(cut)),
    ];
    assert.equal(found, whole, `cut at ${cut}`);
  }
});

const draft = suite("page: the form of a command");

draft("what was typed becomes the body", () => {
  assert.equal(bodyOf({ ...EMPTY, op: " start " }), {
    body: { op: "start", ttl_s: 60 },
  });
  assert.equal(
    bodyOf({
      ...EMPTY,
      op: "set_speed",
      params: '{"rpm": 900}',
      ttl: "300",
      queue: true,
      supersedes: "speed",
      point: "status",
      value: "RUN",
    }),
    {
      body: {
        op: "set_speed",
        params: { rpm: 900 },
        ttl_s: 300,
        queue: true,
        supersedes: "speed",
        precondition: { point: "status", op: "eq", value: "RUN" },
      },
    },
  );
});

draft("a condition's value is a number, a truth or a text", () => {
  const valueOf = (value: string): unknown => {
    const read = bodyOf({ ...EMPTY, op: "x", point: "p", value });
    return "body" in read
      ? (read.body["precondition"] as { value: unknown }).value
      : read.faults;
  };
  assert.equal(["7.5", "true", '"7"', "RUN", "[1]"].map(valueOf), [
    7.5,
    true,
    "7",
    "RUN",
    "[1]",
  ]);
});

draft("what cannot be sent is said beside its field", () => {
  const faults = (change: object): string[] => {
    const read = bodyOf({ ...EMPTY, op: "x", ...change });
    return "faults" in read ? Object.keys(read.faults) : [];
  };
  assert.equal(faults({ op: "  " }), ["op"]);
  assert.equal(faults({ params: "{rpm: 900}" }), ["params"]);
  for (const ttl of ["", "0", "1.5", "x", "604801"])
    assert.equal(faults({ ttl }), ["ttl"], ttl);
  assert.equal(faults({ point: "p" }), ["value"]);
  assert.equal(faults({ point: "p", comparison: "lt", value: "RUN" }), [
    "value",
  ]);
});

points.run();
stream.run();
draft.run();
