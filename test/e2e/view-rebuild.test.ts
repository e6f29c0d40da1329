/** Redis emptied under load and in silence: the log brings back what it showed, and nothing is published twice. */
import type { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MARKER, withRunning, type Running } from "../support/fleet.js";
import { compareLedger } from "../support/ledger.js";
import { until, within } from "../support/wait.js";
import { getJson } from "./http.js";
import { withLog } from "./log-access.js";
import { connectRedis, listen } from "./redis.js";

const test = suite("the view lost and rebuilt");

const PATIENCE_MS = 30_000;

interface ShownDevice {
  readonly device_id: string;
  readonly online: boolean;
  readonly timestamp: number;
  readonly payload: { points?: { name: string; v: unknown }[] };
}
interface ShownHistory {
  readonly messages: { timestamp: number; payload: unknown }[];
}
interface ShownDevices {
  readonly devices: { device_id: string; online: boolean }[];
}

test("Redis emptied under load is rebuilt, and nothing is published twice", async () => {
  await withRunning({ DEVICE_OFFLINE_TIMEOUT: "600" }, async (running) => {
    await running.start("bridge");
    const processor = await running.start("processor");
    await running.start("gateway");
    const updates = await listen(running, "device-updates:*");
    const redis = connectRedis(running);
    const load = running.simulate([
      "--devices",
      "120",
      "--rate",
      "800",
      "--duration",
      "10s",
      "--out-of-order",
      "0.1",
      "--mix",
      "normalised=3,plain=1",
    ]);
    for (let times = 1; times <= 2; times++) {
      const seen = updates.length;
      await until(() => updates.length > seen + 2000, {
        withinMs: PATIENCE_MS,
        what: "the load to be under way",
      });
      await redis.flushall();
    }
    const ledger = await within(60_000, load, "the simulator to end");
    await running.settled();
    await marksAreLevel(running, redis);
    const found = await compareLedger(ledger, running.env, "sim-");
    assert.equal(found.missing, []);
    assert.ok(found.accepted > 5000, `only ${found.accepted} were accepted`);
    assert.is(updates.length, found.sent, "published once each");
    await viewEquals(redis, updates);
    assert.ok(
      processor.output().includes("making the view in Redis anew"),
      "the log says that a rebuild took place",
    );
    await quietFlush(running, redis, updates);
  });
});

/** Nobody speaks when Redis is emptied: the gateway falls back to the database, and the next messages bring all back. */
async function quietFlush(
  running: Running,
  redis: Redis,
  updates: readonly string[],
): Promise<void> {
  const { device_id: id } = JSON.parse(updates[0]!) as ShownDevice;
  const ask = async () => {
    const [all, one, history] = await Promise.all([
      getJson<ShownDevices>(`${running.http}/devices`),
      getJson<ShownDevice>(`${running.http}/devices/${id}`),
      getJson<ShownHistory>(`${running.http}/devices/${id}/history`),
    ]);
    for (const { status } of [all, one, history]) assert.is(status, 200);
    return {
      all: all.body.devices
        .map(({ device_id: other, online }) => `${other} ${online}`)
        .filter((line) => !line.startsWith(MARKER)),
      one: one.body,
      history: history.body,
    };
  };
  const before = await ask();
  assert.is(before.all.length, 120);
  assert.ok(before.history.messages.length > 10);
  await redis.flushall();
  const after = await ask();
  assert.equal(after.all, before.all, "GET /devices goes by the database");
  assert.is(after.one.timestamp, before.one.timestamp);
  assert.is(after.one.online, true);
  assert.ok(after.one.payload.points!.length > 0, "its newest rows");
  assert.equal(after.history.messages, [], "no history for the moment");

  const published = updates.length;
  const more = await running.simulate([
    "--devices",
    "120",
    "--rate",
    "400",
    "--messages",
    "240",
    "--seed",
    "2",
    "--mix",
    "normalised=1",
  ]);
  await running.settled();
  await marksAreLevel(running, redis);
  assert.is(updates.length, published + more.length);
  await viewEquals(redis, updates);
  const again = await ask();
  assert.ok(
    again.history.messages.length > before.history.messages.length,
    "the history is back, and longer",
  );
}

/** The marks stand at the log's end, so every rebuild is through. */
async function marksAreLevel(running: Running, redis: Redis): Promise<void> {
  await withLog(running.env, async (log) => {
    const ends = await log.ends("iot-data");
    await until(
      async () => {
        const marks = await redis.mget(
          ends.map(
            (_, partition) => `twinstream:applied:iot-data:${partition}`,
          ),
        );
        return marks.every((mark, i) => Number(mark) === ends[i]);
      },
      { withinMs: PATIENCE_MS, what: "the marks to be level with the log" },
    );
  });
}

/** What was published, once each, is all that the histories hold; the last states are the newest of it. */
async function viewEquals(
  redis: Redis,
  updates: readonly string[],
): Promise<void> {
  const byDevice = new Map<string, { timestamp: number; text: string }[]>();
  for (const text of updates) {
    const { device_id: id, timestamp } = JSON.parse(text) as ShownDevice;
    byDevice.set(id, [...(byDevice.get(id) ?? []), { timestamp, text }]);
  }
  assert.is(byDevice.size, 120);
  for (const [id, messages] of byDevice) {
    assert.equal(
      (await redis.zrange(`device:history:${id}`, "0", "-1")).toSorted(),
      messages.map(({ text }) => text).toSorted(),
      `history of ${id}`,
    );
    const newest = messages.reduce((a, b) =>
      b.timestamp > a.timestamp ? b : a,
    );
    const { payload, timestamp } = await redis.hgetall(
      `device:last_state:${id}`,
    );
    assert.is(Number(timestamp), newest.timestamp, `last state of ${id}`);
    assert.ok(newest.text.includes(`"payload":${payload}`), id);
  }
}

test.run();
