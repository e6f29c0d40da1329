/** Spans as a collector sees them, and what is traced at all. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readTraceparent, tracedIn } from "../../src/domain/traceparent.js";
import { openTracing } from "../../src/main/tracing.js";
import { traceAppend } from "../../src/pipeline/bridge-trace.js";
import { traceSlice } from "../../src/pipeline/lane-trace.js";
import type { InboundPacket, OutgoingRecord, Tracer } from "../../src/ports.js";
import { someTrace, startCollector } from "../support/collector.js";

const test = suite("tracing");
const log = pino({ level: "silent" });

test("a traceparent is taken when it is well-formed and sampled, and nothing else is", () => {
  const good = someTrace().traceparent;
  assert.ok(readTraceparent(good));
  for (const bad of [
    undefined,
    "",
    good.slice(1),
    good.toUpperCase(),
    good.replace(/01$/, "00"),
    good.replace(/^00/, "01"),
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    `${good}-more`,
    ["x"],
  ])
    assert.is(readTraceparent(bad), null, String(bad));
});

test("without an endpoint, or with the SDK disabled, nothing is opened", async () => {
  const options = { service: "x", sampling: 1, log };
  assert.is(await openTracing({}, options), undefined);
  assert.is(
    await openTracing(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
        OTEL_SDK_DISABLED: "true",
      },
      options,
    ),
    undefined,
  );
});

const packet = (traceparent?: string): InboundPacket => ({
  topic: "devices/a/data",
  payload: Buffer.from("{}"),
  qos: 1,
  dup: false,
  retain: false,
  packetId: 1,
  arrivalMs: 1,
  connection: 1,
  ...(traceparent !== undefined && { traceparent }),
});
const records = (n: number): OutgoingRecord[] =>
  Array.from({ length: n }, () => ({
    key: "a",
    value: Buffer.from("{}"),
    headers: { "bridge-id": "b" },
  }));

/** A tracer that keeps what it is told, and begins traces when it is told to. */
function fake(picks: boolean): {
  tracer: Tracer;
  started: readonly string[][];
} {
  const started: string[][] = [];
  return {
    started,
    tracer: {
      pick: () => picks,
      start(_name, _kind, from) {
        started.push([...from]);
        return {
          traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01`,
          set: () => undefined,
          end: () => undefined,
        };
      },
    },
  };
}

test("an append of traced messages is one span, and each of their records goes on with a trace", () => {
  const { tracer, started } = fake(false);
  const [one, two] = [someTrace().traceparent, someTrace().traceparent];
  const out = records(4);
  const span = traceAppend(
    tracer,
    [packet(), packet(one), packet("nonsense"), packet(two)],
    out,
  );
  assert.equal(started, [[one, two]]);
  assert.equal(
    out.map(({ headers }) => headers?.["traceparent"]),
    [undefined, span?.traceparent, undefined, two],
  );
  assert.is(out[1]!.headers?.["bridge-id"], "b");
});

test("of messages without a trace one begins one now and then; else nothing is touched", () => {
  const none = records(2);
  assert.is(
    traceAppend(fake(false).tracer, [packet(), packet()], none),
    undefined,
  );
  assert.ok(
    none.every(({ headers }) => headers?.["traceparent"] === undefined),
  );
  const picked = records(2);
  const span = traceAppend(fake(true).tracer, [packet(), packet()], picked);
  assert.is(picked[0]!.headers?.["traceparent"], span?.traceparent);
});

test("a slice names at most 32 traced messages, each once, and one without any is no span", () => {
  const { tracer, started } = fake(false);
  const record = (traceparent?: string) => ({
    topic: "iot-data",
    partition: 0,
    offset: 0,
    key: null,
    value: null,
    timestampMs: 0,
    headers: traceparent === undefined ? {} : { traceparent },
  });
  const slice = (all: ReturnType<typeof record>[]) => ({
    topic: "iot-data",
    records: all,
    from: 0,
    to: all.length,
    bytes: 0,
  });
  assert.is(traceSlice(tracer, slice([record()]), 0).traceparent, undefined);
  assert.is(traceSlice(undefined, slice([record()]), 0).begin, undefined);
  const same = someTrace().traceparent;
  const many = Array.from({ length: 50 }, () =>
    record(someTrace().traceparent),
  );
  assert.is(tracedIn([record(same), record(same)]).length, 1);
  assert.ok(traceSlice(tracer, slice(many), 0).traceparent);
  assert.is(started.length, 1);
  assert.is(started[0]!.length, 32);
});

test("a collector gets spans with parent, links, failure and the service's name; TRACE_SAMPLING is a share", async () => {
  const collector = await startCollector();
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url;
  try {
    const tracing = await openTracing(process.env, {
      service: "twinstream-test",
      sampling: 0.25,
      log,
    });
    const { tracer } = tracing!;
    const [one, two] = [someTrace(), someTrace()];
    const span = tracer.start(
      "a batch",
      "consumer",
      [one.traceparent, two.traceparent, "nonsense"],
      { size: 3 },
    );
    const child = tracer.start("a step", "internal", [span.traceparent]);
    child.end(new Error("it broke"));
    span.end();
    let picked = 0;
    for (let i = 0; i < 10_000; i++) if (tracer.pick(1)) picked += 1;
    assert.ok(picked > 2000 && picked < 3000, `${picked} of 10,000`);
    await tracing!.close();
    const [step, batch] = await collector.trace(one.traceId, [
      "a step",
      "a batch",
    ]);
    assert.is(batch!.parentSpanId, "00f067aa0ba902b7");
    assert.is(step!.parentSpanId, batch!.spanId);
    assert.is(batch!.links?.[0]?.traceId, two.traceId);
    assert.is(batch!.links?.length, 1);
    assert.is(step!.status?.message, "it broke");
    assert.is(batch!.service, "twinstream-test");
  } finally {
    delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
    await collector.close();
  }
});

test.run();
