/** What one simulated device does beyond the plan: it answers commands, or replays a series. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { listen, runSimulator } from "../simulator/listener.js";
import { withServices } from "../support/services.js";
import { until } from "../support/wait.js";

const simulator = suite("a simulated device");
const patience = { withinMs: 20_000 };

/** A broker, and a prefix of device ids that nobody else has. */
const withBroker = (use: (url: string, prefix: string) => Promise<void>) =>
  withServices(["mqtt"], ({ MQTT_URL: url = "" }) =>
    use(url, `s${randomUUID().slice(0, 8)}-`),
  );

simulator(
  "answers a command once, and a repeated one by the same ack again",
  () =>
    withBroker(async (url, prefix) => {
      const device = `${prefix}0002`;
      const listener = await listen(url, [`devices/${device}/ack`]);
      const stop = new AbortController();
      const running = runSimulator(
        url,
        prefix,
        { messages: 1e9, rate: 10, answerCommands: true, connections: 4 },
        stop.signal,
      );
      const send = async (id: string, op: string) =>
        (await listener.client.publishAsync(
          `devices/${device}/commands`,
          JSON.stringify({ schema: "v1", cmd_id: id, op, params: {} }),
          { qos: 1 },
        )) as { reasonCode?: number } | undefined;
      const acks = () =>
        listener.heard.map(
          ({ payload }) =>
            JSON.parse(payload.toString()) as { cmd_id: string; ok: boolean },
        );
      await until(
        async () => {
          // Until the device has subscribed nobody hears it; an id of its own each time.
          await send(randomUUID(), "ping");
          return acks().length > 0;
        },
        { ...patience, what: "the device's subscription" },
      );
      const before = acks().length;
      await send("A", "start");
      await send("A", "start");
      await send("B", "fail");
      await until(
        () =>
          acks().filter(({ cmd_id: id }) => id === "A").length === 2 &&
          acks().some(({ cmd_id: id }) => id === "B"),
        { ...patience, what: "three acks" },
      );
      stop.abort();
      const { summary } = await running;
      const answered = acks().filter(({ cmd_id: id }) => id === "A");
      assert.equal(answered[0], answered[1]);
      assert.is(answered[0]!.ok, true);
      assert.is(acks().find(({ cmd_id: id }) => id === "B")!.ok, false);
      assert.is(summary.commands.repeated, 1);
      assert.ok(summary.commands.executed >= before + 2);
      assert.is(
        summary.commands.acksAcked,
        summary.commands.executed + summary.commands.repeated,
      );
      await listener.close();
    }),
);

simulator("replays a series as one device, in order, row by row", () =>
  withBroker(async (url, prefix) => {
    const folder = await mkdtemp(join(tmpdir(), "replay-"));
    try {
      const file = join(folder, "series.csv");
      const rows = Array.from(
        { length: 300 },
        (_, i) =>
          `2013-12-02 ${String(Math.floor(i / 60)).padStart(2, "0")}:${String(i % 60).padStart(2, "0")}:00,${i}.125`,
      );
      await writeFile(file, `timestamp,value\n${rows.join("\n")}\n`);
      const device = `${prefix}machine`;
      const listener = await listen(url, [`devices/${device}/data`]);
      const { summary, attempts } = await runSimulator(url, prefix, {
        replay: file,
        device,
        unit: "°F",
      });
      assert.is(summary.acked, 300);
      assert.is(attempts.length, 300);
      await until(() => listener.heard.length >= 300, {
        ...patience,
        what: "all rows at the subscriber",
      });
      assert.equal(
        listener.heard.map(({ payload }) => {
          const { ts, points } = JSON.parse(payload.toString()) as {
            ts: string;
            points: { v: number }[];
          };
          return `${ts.replace("T", " ").replace(".000Z", "")},${points[0]!.v}`;
        }),
        rows,
      );
      await listener.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  }),
);

simulator.run();
