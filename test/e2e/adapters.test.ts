/** A vendor's device from its first unread message to stored points: dead letters, a trial, a registered adapter. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRunning } from "../support/fleet.js";
import { runCommand } from "../support/roles.js";
import { until } from "../support/wait.js";
import { connectDevice } from "./mqtt-device.js";

const test = suite("adapters");

interface Report {
  readonly messages: number;
  readonly now_parses: number;
  readonly now_differs: number;
  readonly same: number;
  readonly still_fails: number;
  readonly named_other: number;
  readonly left_out: { readonly capped: number };
  readonly samples: Readonly<
    Record<string, readonly { device_id: string; changes: readonly string[] }[]>
  >;
}

const sensorReport = (temperature: number) => ({
  Time: new Date().toISOString().slice(0, 19),
  DS18B20: { Id: "01131B123456", Temperature: temperature },
  Info: { Version: "14.2.0" },
  TempUnit: "C",
});

test("dead letters are tried out, live messages too, and a registered device is read by its adapter", () =>
  withRunning({}, async (running) => {
    const { env, database } = running;
    await running.start("bridge");
    await running.start("processor");
    const twinstream = async (...args: string[]) => {
      const ran = await runCommand(["adapters", ...args], env);
      assert.is(ran.code, 0, ran.output);
      return ran.output;
    };
    const report = (output: string) =>
      JSON.parse(
        output.split("\n").find((it) => it.startsWith("{"))!,
      ) as Report;
    const plug = await connectDevice(running, "plug-7");
    const other = await connectDevice(running, "plug-8");

    // A firmware that names a schema nobody knows, and one message that is too long to be kept whole.
    await plug.data({ schema: "tasmotta", ...sensorReport(20) });
    await plug.data({ schema: "tasmotta", pad: "x".repeat(70_000) });
    await other.data({ schema: "tasmotta", Info: { Version: "1" } });
    await running.settled();
    const letters = report(
      await twinstream("try", "tasmota", "--from-dlq", "--json"),
    );
    assert.equal(
      [letters.messages, letters.now_parses, letters.still_fails],
      [2, 1, 1],
    );
    assert.is(letters.left_out.capped, 1);
    assert.is(letters.named_other, 2);
    assert.ok(
      letters.samples["now_parses"]![0]!.changes.includes(
        "+ DS18B20.Temperature: 20 °C (num)",
      ),
    );
    const ofOther = await twinstream(
      "try",
      "tasmota",
      "--from-dlq",
      "--since",
      "1h",
      "--device",
      "plug-8",
    );
    assert.match(ofOther, "tasmota on 1 dead letters; nothing was stored");
    assert.match(ofOther, /still fails +1/);

    // Live: the messages go on while the trial looks for two of them.
    let trying = true;
    const trial = twinstream(
      "try",
      "tasmota",
      "--live",
      "2",
      "--device",
      "plug-7",
      "--json",
    ).finally(() => {
      trying = false;
    });
    await until(
      async () => {
        if (trying) await plug.data(sensorReport(21));
        if (trying) await other.data(sensorReport(21));
        return !trying;
      },
      { withinMs: 60_000, what: "the trial to see two messages" },
    );
    const live = report(await trial);
    assert.equal([live.messages, live.now_differs], [2, 2]);
    assert.ok(
      live.samples["now_differs"]!.every(
        ({ device_id: id }) => id === "plug-7",
      ),
    );

    // The real thing, for one of them: within the few seconds that processors take to see it.
    // In this order: a processor that reads plug-7 by it knows of new-1 too.
    await twinstream("set", "new-1", "tasmota");
    await twinstream("set", "plug-7", "tasmota");
    const listed = JSON.parse(await twinstream("list", "--json")) as {
      devices: object[];
    };
    assert.equal(listed.devices, [
      { tenant: "default", device_id: "new-1", adapter: "tasmota" },
      { tenant: "default", device_id: "plug-7", adapter: "tasmota" },
    ]);
    const points = async (device: string) =>
      (
        await database.query<{ point_id: string; unit: string | null }>(
          "SELECT DISTINCT point_id, unit FROM ts_measure WHERE device_id = $1 ORDER BY 1, 2",
          [device],
        )
      ).rows;
    await until(
      async () => {
        await plug.data(sensorReport(22));
        await running.settled();
        return (await points("plug-7")).some(({ unit }) => unit === "°C");
      },
      { withinMs: 60_000, what: "the adapter to be followed" },
    );
    // Made known before it was heard of: its first message is read right.
    const fresh = await connectDevice(running, "new-1");
    await fresh.data(sensorReport(23));
    await running.settled();
    assert.equal(await points("new-1"), [
      { point_id: "DS18B20.Temperature", unit: "°C" },
    ]);
    const { rows } = await database.query(
      "SELECT firmware, online FROM equipments WHERE equip_uuid = 'new-1'",
    );
    assert.equal(rows, [{ firmware: "14.2.0", online: true }]);
    assert.ok((await points("plug-8")).every(({ unit }) => unit === null));

    assert.match(await twinstream("unset", "plug-7"), "no longer read by");
    assert.match(await twinstream("unset", "plug-7"), "had no adapter");
    const refused = [
      { args: ["set", "plug-7", "tasmotta"], code: 2 },
      { args: ["set", "a/b", "tasmota"], code: 2 },
      { args: ["try", "tasmota"], code: 2 },
      { args: ["try", "tasmota", "--live", "1", "--from-dlq"], code: 2 },
      { args: ["set", "a", "tasmota", "--tenant", "nobody"], code: 1 },
    ];
    const codes = await Promise.all(
      refused.map(async ({ args }) => runCommand(["adapters", ...args], env)),
    );
    assert.equal(
      codes.map(({ code }) => code),
      refused.map(({ code }) => code),
    );
  }));

test.run();
