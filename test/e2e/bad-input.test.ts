/** Every kind of bad input on its whole way, MQTT or log to database, amid good messages: what is stored, what is refused, why. */
import { readFileSync } from "node:fs";
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import {
  BAD_INPUT,
  conflict,
  num,
  type BadInput,
} from "../domain/bad-input.js";
import { MARKER, withRunning, type Running } from "../support/fleet.js";
import { within } from "../support/wait.js";
import {
  brief,
  checkDeadLetterTopic,
  checkLetters,
  type Letter,
} from "./dead-letters.js";
import { foreignRecords, type ForeignRecord } from "./foreign-records.js";
import { withLog } from "./log-access.js";
import { reading } from "./mqtt-device.js";

const test = suite("bad input");

const PATIENCE_MS = 60_000;

interface Case extends BadInput {
  readonly device: string;
  readonly mqttTopic: string;
  readonly bytes: Buffer;
}

/** A dead letter for each repetition must not hold the whole message anew: that would be 2 GB. */
const HEAVY: BadInput = {
  name: "one name a thousand times in a message of 2 MB",
  payload: (nowMs) =>
    Buffer.from(
      JSON.stringify({
        schema: "v1",
        ts: nowMs,
        meta: { note: "x".repeat(2_000_000) },
        points: Array<object>(1000).fill({ name: "a", t: "int", v: 1 }),
      }),
    ),
  outcome: {
    stored: [num("a", 1)],
    leftOut: Array.from({ length: 999 }, (_, i) =>
      conflict(i + 1, "int", num("a", 1)),
    ),
    timeMs: 0,
  },
};
const MOST_MEMORY_MB = 1000;

const casesAt = (nowMs: number): Case[] =>
  [...BAD_INPUT, HEAVY].map((input, i) => {
    const device = `bad-${i}`;
    return {
      ...input,
      device,
      mqttTopic: input.topic?.(device) ?? `devices/${device}/data`,
      bytes: input.payload(nowMs),
    };
  });

test("each kind has its exact rows or its one dead letter, and harms no neighbour", async () => {
  await withRunning({}, async (running) => {
    await running.start("bridge");
    const processor = await running.start("processor");
    const nowMs = Date.now();
    const cases = casesAt(nowMs);
    const foreign = foreignRecords(nowMs);
    const mqttUrl = running.env["MQTT_URL"]!;
    const refused = cases.filter((one) => one.brokerRefuses);
    for (const one of refused) await mustBeRefused(mqttUrl, one);
    await withLog(running.env, async (log) => {
      for (const topic of [TOPIC.data, TOPIC.commands])
        assert.is(
          (await log.ends(topic)).reduce((sum, end) => sum + end, 0),
          0,
          `what the broker refuses is no record of ${topic}`,
        );
      const sent = await publishAmidGood(mqttUrl, cases, nowMs);
      for (const topic of [TOPIC.data, TOPIC.commands])
        await log.append(
          topic,
          foreign.filter((one) => (one.topic ?? TOPIC.data) === topic),
        );
      await running.settled(PATIENCE_MS);
      const onLog = (await log.all(TOPIC.data)).filter(
        ({ key }) => !String(key).startsWith(MARKER),
      );
      assert.is(
        onLog.length,
        sent + foreign.filter((one) => one.topic === undefined).length,
        "records on the log",
      );
      await checkRows(running, cases, nowMs);
      await checkForeignRows(running, foreign);
      const letters = await checkLetters(running, [
        ...cases.flatMap((one) => lettersOf(one, nowMs)),
        ...foreign.flatMap((one) => one.letter ?? []),
      ]);
      const sources = [...onLog, ...(await log.all(TOPIC.commands))];
      checkDeadLetterTopic(
        letters,
        new Map(
          sources.map((record) => [
            `${record.topic}/${record.partition}/${record.offset}`,
            record,
          ]),
        ),
        await log.all(TOPIC.dataDeadLetters),
      );
      const memory = peakMemoryMb(processor.pid);
      assert.ok(memory < MOST_MEMORY_MB, `the processor took ${memory} MB`);
    });
  });
});

/** Most that the process ever held, where the system tells it. */
function peakMemoryMb(pid: number): number {
  if (process.platform !== "linux") return 0;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

/** The broker ends the connection or answers 0x95, whichever MQTT is spoken. */
async function mustBeRefused(url: string, one: Case): Promise<void> {
  for (const protocolVersion of [4, 5] as const) {
    const client = await mqtt.connectAsync(url, {
      protocolVersion,
      clientId: `too-large-${protocolVersion}`,
      reconnectPeriod: 0,
    });
    const outcome = new Promise<string>((resolve) => {
      client.on("error", (error) => resolve(error.message));
      client.on("close", () => resolve("closed"));
      client.publish(one.mqttTopic, one.bytes, { qos: 1 }, (error) =>
        resolve(error ? error.message : "taken"),
      );
    });
    assert.is.not(
      await within(20_000, outcome, `the broker to refuse ${one.name}`),
      "taken",
      `${one.name} over MQTT ${protocolVersion}`,
    );
    client.end(true);
  }
}

/**
 * Publishes every case between two good messages of its own device and one of another, all over one connection and without
 * waiting, so that they share batches. Answers how many messages it were.
 */
async function publishAmidGood(
  url: string,
  cases: readonly Case[],
  nowMs: number,
): Promise<number> {
  const client = await mqtt.connectAsync(url, {
    protocolVersion: 5,
    clientId: "bad-input",
  });
  const acknowledged: Promise<unknown>[] = [];
  const publish = (topic: string, payload: Buffer | object): void => {
    const bytes = Buffer.isBuffer(payload)
      ? payload
      : Buffer.from(JSON.stringify(payload));
    acknowledged.push(client.publishAsync(topic, bytes, { qos: 1 }));
  };
  for (const [
    i,
    { device, mqttTopic, bytes, brokerRefuses },
  ] of cases.entries()) {
    const own = `devices/${device}/data`;
    publish(own, reading("good", i, nowMs - 3000));
    if (!brokerRefuses) publish(mqttTopic, bytes);
    publish(`devices/calm-${i % 5}/data`, reading("good", i, nowMs - i));
    publish(own, reading("good", -i, nowMs - 2000));
  }
  await within(PATIENCE_MS, Promise.all(acknowledged), "every PUBACK");
  await client.endAsync();
  return acknowledged.length;
}

/** `at` is relative to `nowMs` in milliseconds, or the word for the time of arrival. */
interface Seen {
  readonly point: string;
  readonly at: number | "arrival";
  readonly value: number | boolean | string;
}

async function seenRows(
  running: Running,
  devices: string,
  nowMs: number,
): Promise<Map<string, Seen[]>> {
  const { rows } = await running.database.query<{
    device_id: string;
    point_id: string;
    at: Date;
    v_num: number | null;
    v_bool: boolean | null;
    v_text: string | null;
  }>(
    "SELECT device_id, point_id, ts AS at, v_num, v_bool, v_text FROM ts_measure WHERE device_id LIKE $1",
    [devices],
  );
  const byDevice = new Map<string, Seen[]>();
  for (const row of rows) {
    const at = row.at.getTime();
    const arrived = at > nowMs && at <= Date.now();
    const seen: Seen = {
      point: row.point_id,
      at: arrived ? "arrival" : at - nowMs,
      value: row.v_num ?? row.v_bool ?? brief(row.v_text!),
    };
    byDevice.set(row.device_id, [...(byDevice.get(row.device_id) ?? []), seen]);
  }
  return byDevice;
}

const ordered = (rows: readonly Seen[]): string[] =>
  rows.map((row) => JSON.stringify(row)).toSorted();

async function checkRows(
  running: Running,
  cases: readonly Case[],
  nowMs: number,
): Promise<void> {
  const found = await seenRows(running, "bad-%", nowMs);
  for (const [i, { name, device, outcome, brokerRefuses }] of cases.entries()) {
    const rows: Seen[] = [
      { point: "good", at: -3000, value: i },
      { point: "good", at: -2000, value: i === 0 ? 0 : -i },
    ];
    if ("stored" in outcome && !brokerRefuses)
      for (const point of outcome.stored)
        rows.push({
          point: point.name,
          at: outcome.timeMs ?? "arrival",
          value:
            point.typeClass === "bool"
              ? point.value === 1
              : (point.value ?? brief(point.text!)),
        });
    assert.equal(ordered(found.get(device) ?? []), ordered(rows), name);
  }
  const calm = await seenRows(running, "calm-%", nowMs);
  assert.is(
    [...calm.values()].reduce((sum, rows) => sum + rows.length, 0),
    cases.length,
    "rows of the devices beside them",
  );
  const { rows: devices } = await running.database.query(
    "SELECT DISTINCT device_id FROM ts_measure WHERE device_id NOT SIMILAR TO '(bad|calm|foreign)-%'",
  );
  assert.equal(devices, [], "devices that nobody is");
}

async function checkForeignRows(
  running: Running,
  foreign: readonly ForeignRecord[],
): Promise<void> {
  const { rows } = await running.database.query<{ line: string }>(
    "SELECT concat_ws(' ', device_id, point_id, v_num) AS line FROM ts_measure WHERE device_id LIKE 'foreign-%'",
  );
  assert.equal(
    rows.map(({ line }) => line).toSorted(),
    foreign.flatMap((one) => one.rows ?? []).toSorted(),
    "rows of other producers' records",
  );
}

/** What must be kept of a case: nothing where its message is stored whole; of points left out the first has its bytes. */
function lettersOf(one: Case, nowMs: number): Letter[] {
  const { outcome, mqttTopic: topic, bytes } = one;
  if (one.brokerRefuses) return [];
  if ("reason" in outcome) return [{ topic, item: -1, bytes, ...outcome }];
  const ts = new Date(nowMs + (outcome.timeMs ?? 0)).toISOString();
  return (outcome.leftOut ?? []).map(
    ({ reason, item, name, t, value, text }, i) => ({
      topic,
      reason,
      item,
      bytes:
        i === 0
          ? bytes
          : Buffer.from(JSON.stringify({ name, t, v: text ?? value, ts })),
      detail: JSON.stringify(name),
    }),
  );
}

test.run();
