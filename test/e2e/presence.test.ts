/** Who is there, and why not, with real devices: last wills, silence, and links and roles of ours that are away. */
import mqtt from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MARKER, type Running, withRunning } from "../support/fleet.js";
import { runCommand } from "../support/roles.js";
import { until } from "../support/wait.js";
import { getJson } from "./http.js";
import { connectDevice, type MqttDevice } from "./mqtt-device.js";
import { listen } from "./redis.js";

const test = suite("presence");

const PATIENCE_MS = 40_000;
const TIMEOUT_S = 3;
/** Twice the time-out, and what horizon and looks add to it. */
const LONG_MS = 7000;

interface Told {
  readonly device_id: string;
  readonly tenant?: string;
  readonly online: boolean;
  readonly cause: string | null;
}
interface Devices {
  readonly devices: readonly Told[];
}

/** Says hello twice a second while the work goes on. */
async function speaking<T>(
  device: MqttDevice,
  work: () => Promise<T>,
): Promise<T> {
  let failure: unknown = null;
  const timer = setInterval(() => {
    device.hello().catch((error: unknown) => (failure = error));
  }, 500);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    assert.is(failure, null);
  }
}

const after = (ms: number): Promise<unknown> => {
  const end = Date.now() + ms;
  return until(() => Date.now() > end, { withinMs: ms + 5000, what: "time" });
};

/** A tenant's device with a retained state and a last will; `cut` breaks its connection without a farewell. */
async function connectTenantDevice(running: Running, base: string) {
  const client = await mqtt.connectAsync(running.env["MQTT_URL"]!, {
    reconnectPeriod: 0,
    will: {
      topic: `${base}/state`,
      payload: Buffer.from("offline"),
      qos: 1,
      retain: true,
    },
  });
  client.on("error", () => undefined);
  running.onEnd(() => client.endAsync(true));
  const say = (kind: string, payload: string, retain = false) =>
    client.publishAsync(`${base}/${kind}`, payload, { qos: 1, retain });
  await say("state", "online", true);
  return { say, cut: () => client.stream.destroy() };
}

test("a last will, silence, a lagging processor, a bridge that is down and a tenant that is disabled each tell what is so", () =>
  withRunning(
    { DEVICE_OFFLINE_TIMEOUT: String(TIMEOUT_S) },
    async (running) => {
      let bridge = await running.start("bridge");
      let processor = await running.start("processor");
      await running.start("gateway");
      const presence = await listen(running, "device-presence");
      const told = (id: string) =>
        presence
          .map((text) => JSON.parse(text) as Told)
          .filter(({ device_id: of }) => of === id && !of.startsWith(MARKER))
          .map(({ tenant, online, cause }) => [tenant, online, cause]);
      const untilTold = (id: string, count: number, what: string) =>
        until(() => told(id).length >= count, { withinMs: PATIENCE_MS, what });
      const letters = async (reason: string) =>
        (
          await running.database.query(
            "SELECT FROM ingest_errors WHERE tenant_id = 'acme' AND reason = $1",
            [reason],
          )
        ).rowCount;
      const tenants = async (...args: string[]) => {
        const { code, output } = await runCommand(
          ["tenants", ...args],
          running.env,
        );
        assert.is(code, 0, output);
      };

      // A tenant that nobody has added is refused; once added its devices are there.
      const base = "traksense/acme/hq/pump";
      const stranger = await connectTenantDevice(running, base);
      await running.settled();
      assert.is(await letters("unknown_tenant"), 1);
      await tenants("add", "acme");
      await until(
        async () => {
          await stranger.say("state", "online", true);
          return told("pump").length === 1;
        },
        { withinMs: PATIENCE_MS, what: "acme to be taken in" },
      );

      // Its connection breaks: the broker tells its will.
      stranger.cut();
      await untilTold("pump", 2, "the last will to be told");
      assert.equal(told("pump"), [
        ["acme", true, null],
        ["acme", false, "disconnected"],
      ]);

      // A new session of a bridge is given what the broker kept: no word on now.
      const kept = await connectTenantDevice(
        running,
        "traksense/acme/hq/ghost",
      );
      kept.cut();
      await untilTold("ghost", 2, "the ghost to go");
      const other = await mqtt.connectAsync(running.env["MQTT_URL"]!);
      await other.publishAsync("traksense/acme/hq/ghost/state", "online", {
        qos: 1,
        retain: true,
      });
      await other.endAsync();
      await untilTold("ghost", 3, "the ghost to be back");
      await untilTold("ghost", 4, "the ghost to fall silent");
      assert.is(await bridge.stop(), 0);
      const clean = await mqtt.connectAsync(running.env["MQTT_URL"]!, {
        clientId: "bridge-1",
        clean: true,
      });
      await clean.endAsync();
      bridge = await running.start("bridge");
      await running.settled();
      assert.equal(told("ghost").at(-1), ["acme", false, "silent"]);

      const buoy = await connectDevice(running, "buoy");
      await buoy.hello();
      await untilTold("buoy", 2, "the buoy to come and fall silent");
      assert.equal(told("buoy"), [
        [undefined, true, null],
        [undefined, false, "silent"],
      ]);
      assert.is(
        (await processor.metric("presence_changes_total", 'to="silent"')) >= 2,
        true,
      );
      assert.ok(
        (await processor.metric(
          "presence_changes_total",
          'to="disconnected"',
        )) >= 1,
      );

      // From here on it speaks, whatever of ours is away, and is never called offline.
      await speaking(buoy, async () => {
        await untilTold("buoy", 3, "the buoy to be back");
        assert.is(await processor.stop(), 0);
        await after(LONG_MS);
        processor = await running.start("processor");
        await running.settled();

        await bridge.kill();
        const shown = await until(
          async () => {
            const { body } = await getJson<Devices>(`${running.http}/devices`);
            const found = body.devices.find(
              ({ device_id: id }) => id === "buoy",
            );
            return found?.cause === "bridge down" && found;
          },
          { withinMs: PATIENCE_MS, what: "the bridge to be missed" },
        );
        assert.is(shown.online, true);
        await after(TIMEOUT_S * 1000);
        bridge = await running.start("bridge");
        await running.settled();
        await until(
          async () => {
            const { body } = await getJson<Devices>(`${running.http}/devices`);
            return body.devices.some(
              ({ device_id: id, cause }) => id === "buoy" && cause === null,
            );
          },
          { withinMs: PATIENCE_MS, what: "the bridge to be back" },
        );
        assert.equal(
          told("buoy").filter(([, online]) => online === false).length,
          1,
          "the silence before",
        );
      });
      await until(() => told("buoy").at(-1)?.[1] === false, {
        withinMs: PATIENCE_MS,
        what: "its own silence to count again",
      });

      // Events stand in the order of their times, each once.
      const event = JSON.stringify({ ts: Date.now(), alarm: "door" });
      const valve = await connectTenantDevice(
        running,
        "traksense/default/hq/valve",
      );
      for (const _ of ["once", "again"]) await valve.say("event", event);
      await running.settled();
      const { body } = await getJson<{ events: { payload: unknown }[] }>(
        `${running.http}/devices/valve/events`,
      );
      assert.equal(
        body.events.map(({ payload }) => payload),
        [JSON.parse(event)],
      );

      const before = (await letters("unknown_tenant")) ?? 0;
      await tenants("disable", "acme");
      const refused = await connectTenantDevice(running, base);
      await until(
        async () => {
          await refused.say("telem", "{}");
          return ((await letters("unknown_tenant")) ?? 0) > before;
        },
        { withinMs: PATIENCE_MS, what: "acme to be refused" },
      );
    },
  ));

test.run();
