import { Registry } from "prom-client";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DEAD_LETTER_REASONS, TwinstreamError } from "../../src/errors.js";
import { createLogger } from "../../src/observe/logger.js";
import { createObserver } from "../../src/observe/observer.js";
import type { Observer, TelemetryEvent } from "../../src/ports.js";

type Line = Record<string, unknown> & { level: string; msg: string };

interface Rig {
  readonly observer: Observer;
  readonly lines: Line[];
  readonly time: { nowMs: number };
  /** Value of a sample as it stands on /metrics, such as `a_total{b="c"}`. */
  readonly sample: (name: string) => Promise<number | undefined>;
  readonly text: () => Promise<string>;
}

function rig(level = "trace"): Rig {
  const lines: Line[] = [];
  const time = { nowMs: 1_000_000 };
  const registry = new Registry();
  const log = createLogger(
    { LOG_LEVEL: level, LOG_FORMAT: "json" },
    { write: (line) => void lines.push(JSON.parse(line) as Line) },
  );
  const text = () => registry.metrics();
  return {
    observer: createObserver({ log, registry, clock: () => time.nowMs }),
    lines,
    time,
    text,
    sample: async (name) => {
      const line = (await text())
        .split("\n")
        .find((one) => one.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.split(" ").at(-1));
    },
  };
}

const NAMES = [
  "ingest_messages_total",
  "ingest_points_total",
  "ingest_errors_total",
  "ingest_batch_size",
  "ingest_latency_seconds",
  "ingest_queue_size",
  "consumer_lag",
  "devices_online",
  "actors_alive",
  "actor_restarts_total",
  "flush_seconds",
  "commands_total",
  "bridge_messages_total",
  "lane_waiting",
  "mqtt_connected",
  "process_cpu_user_seconds_total",
  "nodejs_eventloop_lag_seconds",
];

const metrics = suite("metrics");

metrics("every name stands there before anything happened", async () => {
  const { text, sample } = rig();
  const all = await text();
  for (const name of NAMES)
    assert.ok(all.includes(`# TYPE ${name} `), `${name} is declared`);
  for (const type of ["telem", "ack", "event", "hello"])
    assert.is(await sample(`ingest_messages_total{type="${type}"}`), 0);
  for (const reason of [...DEAD_LETTER_REASONS, "mqtt_error"])
    assert.is(await sample(`ingest_errors_total{reason="${reason}"}`), 0);
  for (const state of ["accepted", "acked", "expired"])
    assert.is(await sample(`commands_total{state="${state}"}`), 0);
  for (const store of ["redis", "database"])
    assert.is(await sample(`flush_seconds_count{store="${store}"}`), 0);
});

metrics("move with the facts", async () => {
  const { observer, sample } = rig("silent");
  const facts: TelemetryEvent[] = [
    { type: "messages_decoded", telem: 3, ack: 1, event: 0, hello: 2 },
    {
      type: "batch_stored",
      partition: 0,
      messages: 6,
      points: 12,
      duplicates: 1,
      conflicts: 0,
      refused: 0,
      seconds: 0.02,
    },
    {
      type: "view_written",
      partition: 0,
      devices: 2,
      messages: 3,
      seconds: 0.003,
    },
    { type: "dead_letters", counts: new Map([["parse_error", 4]]) },
    { type: "queue", messages: 7, bytes: 700 },
    { type: "lag", topic: "iot-data", partition: 3, lag: 42, behindSeconds: 7 },
    { type: "lag", topic: "iot-data", partition: 4, lag: 1, behindSeconds: 0 },
    { type: "lag_gone", topic: "iot-data", partition: 4 },
    { type: "actors", alive: 5 },
    { type: "devices_online", count: 4 },
    { type: "command", state: "acked", count: 2 },
    {
      type: "actor_restarted",
      partition: 0,
      address: "dev-1",
      error: "boom",
      poison: 1,
    },
    { type: "bridge_batch", messages: 10, bytes: 1000, seconds: 0.01 },
    { type: "bridge_window", messages: 8, bytes: 80, held: true },
    {
      type: "mqtt_connection",
      role: "bridge",
      connected: false,
      detail: "gone",
    },
  ];
  for (const fact of facts) observer.emit(fact);
  for (const [name, value] of [
    ['ingest_messages_total{type="telem"}', 3],
    ['ingest_messages_total{type="hello"}', 2],
    ["ingest_points_total", 12],
    ["ingest_duplicates_total", 1],
    ["ingest_batch_size_sum", 6],
    ['flush_seconds_count{store="database"}', 1],
    ['flush_seconds_sum{store="redis"}', 0.003],
    ['ingest_errors_total{reason="parse_error"}', 4],
    ['ingest_errors_total{reason="mqtt_error"}', 1],
    ["ingest_queue_size", 7],
    ['consumer_lag{topic="iot-data",partition="3"}', 42],
    ['consumer_lag{topic="iot-data",partition="4"}', undefined],
    ["actors_alive", 5],
    ["devices_online", 4],
    ['commands_total{state="acked"}', 2],
    ["actor_restarts_total", 1],
    ["bridge_messages_total", 10],
    ["bridge_held", 1],
    ['mqtt_connected{role="bridge"}', 0],
  ] as const)
    assert.is(await sample(name), value, name);
});

metrics("a latency counts for each message of its batch", async () => {
  const { observer, sample } = rig();
  observer.emit({ type: "latency", seconds: 0.03, count: 800 });
  observer.emit({ type: "latency", seconds: 90_000, count: 5 });
  observer.emit({ type: "latency", seconds: -2, count: 1 });
  const at = (le: string) =>
    sample(`ingest_latency_seconds_bucket{le="${le}"}`);
  assert.is(await at("0.001"), 1);
  assert.is(await at("0.025"), 1);
  assert.is(await at("0.05"), 801);
  assert.is(await at("43200"), 801);
  assert.is(await at("+Inf"), 806);
  assert.is(await sample("ingest_latency_seconds_count"), 806);
  assert.is(await sample("ingest_latency_seconds_sum"), 450_024);
});

metrics("never name a device", async () => {
  const { observer, text } = rig("silent");
  observer.emit({
    type: "actor_restarted",
    partition: 0,
    address: "dev-77",
    error: "x",
    poison: 1,
  });
  observer.emit({
    type: "actor_quarantined",
    partition: 0,
    address: "dev-77",
    untilMs: 1,
  });
  assert.not.match(await text(), "dev-77");
});

metrics("a lane's states end with it", async () => {
  const { observer, sample } = rig("silent");
  const wait = 'lane_waiting{partition="1",on="redis"}';
  observer.emit({
    type: "lane_waiting",
    partition: 1,
    on: "redis",
    error: "x",
    attempt: 1,
    delayMs: 1,
  });
  observer.emit({
    type: "lane_refused",
    partition: 1,
    error: new TwinstreamError("OTHER_CLUSTER"),
  });
  assert.is(await sample(wait), 1);
  assert.is(await sample('lane_refused{partition="1"}'), 1);
  observer.emit({ type: "released", partition: 1, reason: "revoked" });
  assert.is(await sample(wait), undefined);
  assert.is(await sample('lane_refused{partition="1"}'), undefined);
});
metrics.run();

const logging = suite("log lines");

const waits = (partition: number, attempt: number): TelemetryEvent => ({
  type: "lane_waiting",
  partition,
  on: "database",
  error: "refused",
  attempt,
  delayMs: 100,
});

logging(
  "a wait is told at once, then ever more seldom, with what was left out",
  () => {
    const { observer, lines, time } = rig();
    for (let i = 0; i < 3600; i++) {
      observer.emit(waits(i % 12, i));
      time.nowMs += 1000;
    }
    assert.ok(lines.length >= 8 && lines.length <= 20, `${lines.length} lines`);
    const [first, second] = lines;
    assert.is(first?.level, "warn");
    assert.is(first?.["partition"], 0);
    assert.is(first?.["on"], "database");
    assert.is(first?.["left_out"], undefined);
    assert.is(second?.["left_out"], 4);
  },
);

logging("the next outage is told at once again", () => {
  const { observer, lines } = rig();
  observer.emit(waits(0, 1));
  observer.emit(waits(1, 1));
  const resumed = (partition: number): TelemetryEvent => ({
    type: "lane_resumed",
    partition,
    on: "database",
    seconds: 1,
  });
  observer.emit(resumed(0));
  observer.emit(waits(1, 2));
  assert.is(lines.filter((line) => line.level === "warn").length, 1);
  observer.emit(resumed(1));
  observer.emit(waits(0, 1));
  assert.is(lines.filter((line) => line.level === "warn").length, 2);
});

logging("no line for what is only counted", () => {
  const { observer, lines } = rig("info");
  for (let i = 0; i < 100; i++) {
    observer.emit({
      type: "messages_decoded",
      telem: 1,
      ack: 0,
      event: 0,
      hello: 0,
    });
    observer.emit({ type: "queue", messages: i, bytes: i });
    observer.emit({ type: "latency", seconds: 1, count: 1 });
    observer.emit({ type: "bridge_batch", messages: 1, bytes: 1, seconds: 1 });
    observer.emit({
      type: "batch_stored",
      partition: 0,
      messages: 1,
      points: 1,
      duplicates: 0,
      conflicts: 0,
      refused: 0,
      seconds: 1,
    });
  }
  assert.is(lines.length, 0);
});

logging("dead letters are told by their counts, seldom", () => {
  const { observer, lines } = rig();
  for (let i = 0; i < 100; i++)
    observer.emit({
      type: "dead_letters",
      counts: new Map([["parse_error", 2]]),
    });
  assert.is(lines.length, 1);
  assert.equal(lines[0]?.["counts"], { parse_error: 2 });
});

logging("a lane that stands still says why and for whom", () => {
  const { observer, lines } = rig();
  observer.emit({
    type: "lane_refused",
    partition: 3,
    error: new TwinstreamError("OTHER_CLUSTER"),
  });
  assert.is(lines[0]?.level, "error");
  assert.is(lines[0]?.["code"], "OTHER_CLUSTER");
  assert.is(lines[0]?.["partition"], 3);
});

logging("no secret is ever written", () => {
  const lines: string[] = [];
  const log = createLogger(
    { LOG_LEVEL: "info", LOG_FORMAT: "json" },
    { write: (line) => void lines.push(line) },
  );
  log.info(
    {
      password: "hunter2",
      authorization: "Bearer hunter2",
      settings: { JWT_SECRET: "hunter2", MINIO_SECRET_KEY: "hunter2" },
      error: "connect postgres://twin:hunter2@10.0.0.1:5432/db failed",
      stack: new Error("redis://:hunter2@h").stack,
      dsn: "host=x password=hunter2 user=y",
      many: ["mqtts://a:p@hunter2@b:8883", "amqp://u:hunter2@h"],
    },
    "cannot reach mqtt://dev:hunter2@broker:1883/",
  );
  const [line = ""] = lines;
  assert.not.match(line, "hunter2");
  assert.match(line, "postgres://twin:[hidden]@10.0.0.1:5432/db failed");
  assert.match(line, "mqtt://dev:[hidden]@broker:1883/");
  assert.is((JSON.parse(line) as Line).level, "info");
});

logging("pretty lines are for people, and hide the same", () => {
  let text = "";
  const log = createLogger(
    { LOG_LEVEL: "info", LOG_FORMAT: "pretty" },
    { write: (line) => void (text += line) },
  );
  log.info({ url: "redis://:hunter2@h" }, "hello there");
  assert.match(text, "hello there");
  assert.not.match(text, "hunter2");
});
logging.run();
