/** What Redis shows: only forward, only what is recent, rebuilt when lost, and who is there. */
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRunning, type Running } from "../support/fleet.js";
import { compareLedger } from "../support/ledger.js";
import { until, within } from "../support/wait.js";
import { getJson } from "./http.js";
import { withLog } from "./log-access.js";
import { connectDevice, reading } from "./mqtt-device.js";
import { listen, withRedis, type Listening } from "./redis.js";

const test = suite("the view");

const PATIENCE_MS = 30_000;

interface ShownDevice {
  readonly device_id: string;
  readonly online: boolean;
  readonly last_seen: string | null;
  readonly timestamp: number;
  readonly payload: { points?: { name: string; v: unknown }[] };
}
interface ShownHistory {
  readonly messages: { timestamp: number; payload: unknown }[];
}
interface ShownDevices {
  readonly devices: { device_id: string; online: boolean; cause: unknown }[];
}

test("last state goes forward only, and history keeps what is recent", async () => {
  const historyS = 36;
  await withRunning(
    { HISTORY_HOURS: String(historyS / 3600) },
    async (running) => {
      await running.start("bridge");
      await running.start("processor");
      await running.start("gateway");
      const device = await connectDevice(running.env["MQTT_URL"]!, "meter");
      await withRedis(running.env, async (redis) => {
        const updates = await listen(running.env, "device-updates:meter");
        const say = async (value: number, atMs: number): Promise<void> => {
          await device.data(reading("n", value, atMs));
          await running.settled();
        };
        const last = async (): Promise<unknown> => {
          const { payload, timestamp } = await redis.hgetall(
            "device:last_state:meter",
          );
          const { points } = JSON.parse(payload!) as ShownDevice["payload"];
          return [points![0]!.v, Number(timestamp) * 1000];
        };
        const now = Date.now();
        await say(1, now - 5000);
        assert.equal(await last(), [1, now - 5000]);
        await say(2, now - 9000);
        assert.equal(await last(), [1, now - 5000], "an older one");
        await say(3, now - 1000);
        await say(4, now - 2000);
        assert.equal(await last(), [3, now - 1000], "an older one again");

        // A clock that is ahead counts by its arrival, so what comes after it is later.
        await say(5, now + 3_600_000);
        assert.equal(await last(), [5, now + 3_600_000]);
        const later = Date.now();
        await say(6, later);
        assert.equal(await last(), [6, later], "no clock freezes it");

        const edge = Date.now() - historyS * 1000;
        await say(7, edge - 20_000);
        await say(8, edge + 4000);
        const history = async (): Promise<unknown[]> =>
          (
            await getJson<ShownHistory>(`${running.http}/devices/meter/history`)
          ).body.messages.map(
            ({ payload }) => (payload as ShownDevice["payload"]).points![0]!.v,
          );
        assert.equal(
          await history(),
          [8, 2, 1, 4, 3, 6, 5],
          "oldest first, without the one that was too old",
        );
        assert.is(await redis.zcard("device:history:meter"), 7);
        await until(async () => (await history()).length === 6, {
          withinMs: 10_000,
          what: "readers to leave out what has become too old",
        });
        await say(9, Date.now());
        assert.equal(await history(), [2, 1, 4, 3, 6, 9, 5]);
        assert.is(await redis.zcard("device:history:meter"), 7, "trimmed");
        const expiresS = await redis.ttl("device:history:meter");
        assert.ok(
          expiresS > historyS - 10 && expiresS <= historyS,
          `it expires ${historyS} s after the last message: ${expiresS}`,
        );
        assert.is(await redis.ttl("device:last_state:meter"), -1);
        assert.equal(
          updates.texts.map(
            (text) => (JSON.parse(text) as ShownDevice).payload.points![0]!.v,
          ),
          [1, 2, 3, 4, 5, 6, 7, 8, 9],
          "every message is published once, in the order of its arrival",
        );
        await updates.close();
        const rows = await running.rows("meter");
        assert.is(rows.length, 9, "and stored");
      });
      await device.close();
    },
  );
});

test("a device that falls silent goes offline, says why, and comes back", async () => {
  await withRunning({ DEVICE_OFFLINE_TIMEOUT: "2" }, async (running) => {
    await running.start("bridge");
    await running.start("processor");
    await running.start("gateway");
    const presence = await listen(running.env, "device-presence");
    const device = await connectDevice(running.env["MQTT_URL"]!, "buoy");
    const told = (): unknown[] =>
      presence.texts.map((text) => {
        const { last_seen: seen, ...rest } = JSON.parse(text) as {
          last_seen: string;
        };
        assert.ok(Math.abs(Date.now() - Date.parse(seen)) < 60_000);
        return rest;
      });
    const came = { device_id: "buoy", online: true, cause: null };
    const went = { device_id: "buoy", online: false, cause: "silent" };
    const listed = async (query: string): Promise<unknown[]> =>
      (
        await getJson<ShownDevices>(`${running.http}/devices${query}`)
      ).body.devices.map(({ device_id, online, cause }) => ({
        device_id,
        online,
        cause,
      }));
    const stored = async (): Promise<unknown> => {
      const { rows } = await running.database.query(
        "SELECT equip_uuid AS device_id, online, cause FROM equipments",
      );
      return rows[0];
    };

    await device.hello();
    await until(() => presence.texts.length === 1, {
      withinMs: PATIENCE_MS,
      what: "it to come",
    });
    assert.equal(await listed(""), [came]);
    await until(() => presence.texts.length === 2, {
      withinMs: PATIENCE_MS,
      what: "its silence to be noticed",
    });
    await until(async () => JSON.stringify(await stored()).includes("silent"), {
      withinMs: PATIENCE_MS,
      what: "its silence to be stored",
    });
    assert.equal(await stored(), went);
    assert.equal(await listed(""), []);
    assert.equal(await listed("?all=1"), [went]);
    const { body } = await getJson<ShownDevice>(`${running.http}/devices/buoy`);
    assert.is(body.online, false);

    // While it speaks it stays, and nobody is told so again.
    const until4s = Date.now() + 4000;
    for (let n = 0; Date.now() < until4s; n++) {
      await device.data(reading("n", n, Date.now()));
      await running.settled();
      assert.equal(await listed(""), [came]);
    }
    assert.equal(told(), [came, went, came]);
    await until(() => presence.texts.length === 4, {
      withinMs: PATIENCE_MS,
      what: "it to be gone again",
    });
    assert.equal(told(), [came, went, came, went]);
    await device.close();
    await presence.close();
  });
});

test("Redis emptied under load is rebuilt, and nothing is published twice", async () => {
  await withRunning({ DEVICE_OFFLINE_TIMEOUT: "600" }, async (running) => {
    await running.start("bridge");
    const processor = await running.start("processor");
    await running.start("gateway");
    const updates = await listen(running.env, "device-updates:*");
    await withRedis(running.env, async (redis) => {
      const load = running.simulate([
        ...["--devices", "120", "--rate", "800", "--duration", "10s"],
        ...["--out-of-order", "0.1", "--mix", "normalised=3,plain=1"],
      ]);
      for (let times = 1; times <= 2; times++) {
        const seen = updates.texts.length;
        await until(() => updates.texts.length > seen + 2000, {
          withinMs: PATIENCE_MS,
          what: "the load to be under way",
        });
        await redis.flushall();
      }
      const ledger = await within(60_000, load, "the simulator to end");
      await running.settled();
      await marksAreLevel(running, redis);
      const found = await compareLedger(ledger, running.database, "sim-%");
      assert.equal(found.missing, []);
      assert.ok(found.accepted > 5000, `only ${found.accepted} were accepted`);
      assert.is(updates.texts.length, found.sent, "published once each");
      await viewEquals(redis, updates);
      assert.ok(
        processor.output().includes("rebuil"),
        "the log says that a rebuild took place",
      );
      await quietFlush(running, redis, updates);
    });
    await updates.close();
  });
});

/** Nobody speaks when Redis is emptied: the gateway falls back to the database, and the next messages bring all back. */
async function quietFlush(
  running: Running,
  redis: Redis,
  updates: Listening,
): Promise<void> {
  const ask = async () => {
    const [all, one, history] = await Promise.all([
      getJson<ShownDevices>(`${running.http}/devices`),
      getJson<ShownDevice>(`${running.http}/devices/sim-7`),
      getJson<ShownHistory>(`${running.http}/devices/sim-7/history`),
    ]);
    for (const { status } of [all, one, history]) assert.is(status, 200);
    return { all: all.body, one: one.body, history: history.body };
  };
  const before = await ask();
  assert.is(before.all.devices.length, 120);
  assert.ok(before.history.messages.length > 10);
  await redis.flushall();
  const after = await ask();
  assert.equal(
    after.all.devices.map(({ device_id, online }) => [device_id, online]),
    before.all.devices.map(({ device_id, online }) => [device_id, online]),
    "GET /devices goes by the database",
  );
  assert.is(after.one.timestamp, before.one.timestamp);
  assert.is(after.one.online, true);
  assert.ok(after.one.payload.points!.length > 0, "its newest rows");
  assert.equal(after.history.messages, [], "no history for the moment");

  const published = updates.texts.length;
  const more = await running.simulate([
    ...["--devices", "120", "--rate", "400", "--messages", "240"],
    ...["--seed", "2", "--mix", "normalised=1"],
  ]);
  await running.settled();
  await marksAreLevel(running, redis);
  assert.is(updates.texts.length, published + more.length);
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
async function viewEquals(redis: Redis, updates: Listening): Promise<void> {
  const byDevice = new Map<string, { timestamp: number; text: string }[]>();
  for (const text of updates.texts) {
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
