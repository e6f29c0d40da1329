import { suite } from "uvu";
import * as assert from "uvu/assert";
import { adapterFor } from "../../../src/domain/adapters/registry.js";
import { parsecV1 } from "../../../src/domain/adapters/parsec-v1.js";
import { isFault } from "../../../src/domain/fault.js";

const parsec = suite("parsec_v1");

const ts = "2025-10-08T01:00:00Z";

function adapted(payload: Record<string, unknown>) {
  const outcome = parsecV1.adapt(payload);
  if (isFault(outcome)) throw new Error(outcome.detail);
  return {
    ...outcome,
    points: outcome.points.map((it) => [
      it.name,
      it.type,
      it.text ?? it.value,
      it.unit,
    ]),
  };
}

parsec("the sample of the contracts, in either case of its keys", () => {
  const sample = { ts, di1: 1, di2: 0, rssi: -67, fw: "1.2.3" };
  const upper = { TS: ts, DI1: 1, DI2: 0, RSSI: -67, FW: "1.2.3" };
  const points = [
    ["status", "enum", "RUN", null],
    ["fault", "bool", 0, null],
    ["rssi", "num", -67, "dBm"],
  ];
  const meta = { fw: "1.2.3", src: "parsec_v1" };
  assert.equal(adapted({ schema: "parsec_v1", ...sample }), {
    timeField: "ts",
    points,
    meta,
  });
  assert.equal(adapted({ SCHEMA: "parsec_v1", ...upper }), {
    timeField: "TS",
    points,
    meta,
  });
});

parsec("stopped, at fault, without rssi", () => {
  assert.equal(adapted({ ts, di1: 0, di2: 1 }), {
    timeField: "ts",
    points: [
      ["status", "enum", "STOP", null],
      ["fault", "bool", 1, null],
    ],
    meta: { src: "parsec_v1" },
  });
  assert.equal(adapted({ ts }).points, [
    ["status", "enum", "STOP", null],
    ["fault", "bool", 0, null],
  ]);
  assert.is(adapted({ ts, rssi: null }).points.length, 2);
});

parsec("ts is required and rssi is a number", () => {
  for (const [payload, detail] of [
    [{}, "ts: expected a time, got nothing"],
    [{ ts: null }, "ts: expected a time, got nothing"],
    [{ ts, rssi: "-67" }, 'rssi: expected a finite number, got "-67"'],
    [{ ts, rssi: Infinity }, "rssi: expected a finite number, got Infinity"],
  ] as const) {
    const outcome = parsecV1.adapt(payload);
    assert.is(isFault(outcome) && outcome.detail, detail);
  }
});

parsec("it is found by its schema, in either case of that key", () => {
  assert.is(adapterFor({ schema: "parsec_v1" }), parsecV1);
  assert.is(adapterFor({ SCHEMA: "parsec_v1" }), parsecV1);
});

parsec.run();
