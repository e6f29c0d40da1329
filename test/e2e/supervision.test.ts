/** Actors that crash, with a fault planted in the processor: one bad message harms no other, one bad device no neighbour. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { partitionOf } from "../../src/domain/partition.js";
import { withRunning, type Running } from "../support/fleet.js";
import {
  CRASH_TEXT,
  CRASHES,
  POISONED_PROCESSOR,
} from "../support/poisoned-processor.js";
import { until } from "../support/wait.js";
import { withLog } from "./log-access.js";
import { connectDevice, reading, type MqttDevice } from "./mqtt-device.js";

const test = suite("supervision");

const PARTITIONS = 12;
const CRASHES_TO_QUARANTINE = 5;
const QUARANTINE_MS = 600_000;

interface Letter {
  readonly device_id: string;
  readonly reason: string;
  readonly detail: string;
  readonly attempts: number;
  readonly payload: string;
  readonly topic: string;
}

/** A device id in the same partition: the nearest of neighbours. */
function neighbourOf(id: string): string {
  for (let i = 0; ; i++)
    if (partitionOf(`near-${i}`, PARTITIONS) === partitionOf(id, PARTITIONS))
      return `near-${i}`;
}

async function letters(running: Running): Promise<Letter[]> {
  const { rows } = await running.database.query<Letter>(
    `SELECT device_id, reason, detail, attempts, convert_from(payload, 'UTF8') AS payload, topic
     FROM ingest_errors ORDER BY log_partition, log_offset`,
  );
  return rows;
}

/** Values of a device's stored readings, in the order of their times. */
async function values(running: Running, device: string): Promise<number[]> {
  const { rows } = await running.database.query<{ v: number }>(
    "SELECT v_num AS v FROM ts_measure WHERE device_id = $1 ORDER BY ts",
    [device],
  );
  return rows.map(({ v }) => v);
}

async function quarantinedUntil(
  running: Running,
  device: string,
): Promise<Date | null> {
  const { rows } = await running.database.query<{ until: Date | null }>(
    "SELECT quarantined_until AS until FROM equipments WHERE equip_uuid = $1",
    [device],
  );
  return rows[0]?.until ?? null;
}

test("a message that throws is set aside alone; five crashes quarantine the device until its release", async () => {
  await withRunning({}, async (running) => {
    const started = Date.now();
    let at = started;
    const poison = { bad: CRASHES };
    const good = (value: number): object => reading("n", value, ++at);
    await running.start("bridge");
    let processor = await running.start("processor", {}, POISONED_PROCESSOR);
    const one = await connectDevice(running, "crashes-once");
    const often = await connectDevice(running, "crashes-often");
    const near = await connectDevice(running, neighbourOf("crashes-often"));

    // ---- once: the messages around it take effect, and it is kept with its reason
    await together(one, [good(1), poison, good(2), good(3)]);
    await together(near, [good(1)]);
    await running.settled();
    assert.equal(await values(running, one.id), [1, 2, 3]);
    assert.equal(await letters(running), [
      {
        device_id: one.id,
        reason: "actor_crash",
        detail: CRASH_TEXT,
        attempts: 2,
        payload: JSON.stringify(poison),
        topic: `devices/${one.id}/data`,
      },
    ]);
    assert.is(await quarantinedUntil(running, one.id), null);

    // ---- often: the fifth crash begins the quarantine, whatever goes well in between
    for (let i = 0; i < CRASHES_TO_QUARANTINE; i++)
      await together(often, [good(10 + i), poison]);
    await running.settled();
    await together(often, [good(20), poison, good(21)]);
    await together(near, [good(2), good(3)]);
    await running.settled();
    assert.equal(await values(running, often.id), [10, 11, 12, 13, 14]);
    assert.equal(await values(running, near.id), [1, 2, 3], "its neighbour");
    const reasons = (await letters(running))
      .filter(({ device_id }) => device_id === often.id)
      .map(({ reason }) => reason);
    assert.equal(reasons, [
      ...Array<string>(CRASHES_TO_QUARANTINE).fill("actor_crash"),
      ...Array<string>(3).fill("quarantined"),
    ]);
    const until1 = await quarantinedUntil(running, often.id);
    const minutes = (until1!.getTime() - Date.now()) / 60_000;
    assert.ok(minutes > 8 && minutes <= 10, `quarantined for ${minutes} min`);
    assert.is(
      await processor.metric("ingest_errors_total", 'reason="quarantined"'),
      3,
    );

    // ---- a processor that begins anew, and has no fault, still holds it
    assert.is(await processor.stop(), 0);
    processor = await running.start("processor");
    await together(often, [good(30)]);
    await together(near, [good(4)]);
    await running.settled();
    assert.equal(await values(running, often.id), [10, 11, 12, 13, 14]);
    assert.equal(await values(running, near.id), [1, 2, 3, 4]);
    assert.equal(
      await quarantinedUntil(running, often.id),
      until1,
      "and does not prolong it",
    );

    // ---- an operator's release ends it, by a record in its lane
    await withLog(running.env, (log) =>
      log.append(TOPIC.commands, [
        {
          key: often.id,
          value: Buffer.from(
            JSON.stringify({
              kind: "release",
              tenant: "default",
              device_id: often.id,
              by: "ana",
              ts: new Date().toISOString(),
            }),
          ),
        },
      ]),
    );
    await until(
      async () => (await quarantinedUntil(running, often.id)) === null,
      { withinMs: 20_000, what: "the release" },
    );
    await together(often, [good(40)]);
    await running.settled();
    assert.equal(await values(running, often.id), [10, 11, 12, 13, 14, 40]);
    assert.is(
      (await letters(running)).length,
      1 + CRASHES_TO_QUARANTINE + 3 + 1,
      "every message is stored or kept, once",
    );
    assert.ok(Date.now() - started < QUARANTINE_MS, "it did not just pass");
    await deadLettersAreOnTheLog(running);
  });
});

/** Publishes without waiting in between, so that the messages share a batch. */
async function together(
  device: MqttDevice,
  payloads: readonly object[],
): Promise<void> {
  await Promise.all(payloads.map((payload) => device.data(payload)));
}

async function deadLettersAreOnTheLog(running: Running): Promise<void> {
  const said = (await letters(running)).map(
    ({ reason, detail, attempts }) => `${reason} ${detail} ${attempts}`,
  );
  const dead = await withLog(running.env, (log) =>
    log.all(TOPIC.dataDeadLetters),
  );
  assert.equal(
    dead
      .map(
        ({ headers: { reason, error, attempts } }) =>
          `${reason} ${error} ${attempts}`,
      )
      .toSorted(),
    said.toSorted(),
    "the same dead letters on the log",
  );
}

test.run();
