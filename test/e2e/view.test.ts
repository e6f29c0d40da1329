/** What Redis shows: only forward, only what is recent, rebuilt when lost, and who is there. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MARKER, withRunning } from "../support/fleet.js";
import { until } from "../support/wait.js";
import { getJson } from "./http.js";
import { connectDevice, reading } from "./mqtt-device.js";
import { connectRedis, listen } from "./redis.js";

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
  const historyS = 72;
  await withRunning(
    { HISTORY_HOURS: String(historyS / 3600) },
    async (running) => {
      await running.start("bridge");
      const processor = await running.start("processor");
      await running.start("gateway");
      const device = await connectDevice(running, "meter");
      const redis = connectRedis(running);
      const updates = await listen(running, "device-updates:meter");
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

      // An actor that begins anew does not know the last state; Redis' own guard does.
      assert.is(await processor.stop(), 0);
      await running.start("processor");
      await say(6.5, later - 500);
      assert.equal(await last(), [6, later], "an older one, after a restart");

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
        [8, 2, 1, 4, 3, 6.5, 6, 5],
        "oldest first, without the one that was too old",
      );
      assert.is(await redis.zcard("device:history:meter"), 8);
      await until(async () => (await history()).length === 7, {
        withinMs: 10_000,
        what: "readers to leave out what has become too old",
      });
      await say(9, Date.now());
      assert.equal(await history(), [2, 1, 4, 3, 6.5, 6, 9, 5]);
      assert.is(await redis.zcard("device:history:meter"), 8, "trimmed");
      const expiresS = await redis.ttl("device:history:meter");
      assert.ok(
        expiresS > historyS - 10 && expiresS <= historyS,
        `it expires ${historyS} s after the last message: ${expiresS}`,
      );
      assert.is(await redis.ttl("device:last_state:meter"), -1);
      assert.equal(
        updates.map(
          (text) => (JSON.parse(text) as ShownDevice).payload.points![0]!.v,
        ),
        [1, 2, 3, 4, 5, 6, 6.5, 7, 8, 9],
        "every message is published once, in the order of its arrival",
      );
      const rows = await running.rows("meter");
      assert.is(rows.length, 10, "and stored");
    },
  );
});

test("a device that falls silent goes offline, says why, and comes back", async () => {
  await withRunning({ DEVICE_OFFLINE_TIMEOUT: "2" }, async (running) => {
    await running.start("bridge");
    await running.start("processor");
    await running.start("gateway");
    const presence = await listen(running, "device-presence");
    const device = await connectDevice(running, "buoy");
    const told = (): unknown[] =>
      presence
        .filter((text) => !text.includes(MARKER))
        .map((text) => {
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
      ).body.devices
        .filter(({ device_id: id }) => !id.startsWith(MARKER))
        .map(({ device_id, online, cause }) => ({
          device_id,
          online,
          cause,
        }));
    const stored = async (): Promise<unknown> => {
      const { rows } = await running.database.query(
        "SELECT equip_uuid AS device_id, online, cause FROM equipments WHERE equip_uuid = 'buoy'",
      );
      return rows[0];
    };

    await device.hello();
    await until(() => told().length === 1, {
      withinMs: PATIENCE_MS,
      what: "it to come",
    });
    assert.equal(await listed(""), [came]);
    await until(() => told().length === 2, {
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
    await until(() => told().length === 4, {
      withinMs: PATIENCE_MS,
      what: "it to be gone again",
    });
    assert.equal(told(), [came, went, came, went]);
  });
});

test.run();
