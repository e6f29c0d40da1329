/** One trace from the device to the database, from a command's request to its ack, from an upload to its rows. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import mqtt from "mqtt";
import {
  startCollector,
  someTrace,
  type SeenSpan,
} from "../support/collector.js";
import { withRunning } from "../support/fleet.js";
import { until, within } from "../support/wait.js";
import { reading } from "./mqtt-device.js";

const test = suite("tracing");

/** Every span hangs below another of its trace, but for those whose parent is the caller's own. */
function hangTogether(spans: readonly SeenSpan[]): void {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  for (const { name, parentSpanId } of spans)
    assert.ok(
      ids.has(parentSpanId ?? "") || parentSpanId === "00f067aa0ba902b7",
      `${name} hangs in the air`,
    );
}

test("a trace goes from MQTT to the flush, round with a command, and through an upload", async () => {
  const collector = await startCollector();
  try {
    await withRunning(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_BSP_SCHEDULE_DELAY: "100",
        OTEL_SERVICE_NAME: "of-the-test",
        TRACE_SAMPLING: "0",
      },
      async (running) => {
        const all = await running.start("all");
        const device = await mqtt.connectAsync(running.env["MQTT_URL"]!, {
          protocolVersion: 5,
          clientId: "traced-1",
        });
        running.onEnd(() => device.endAsync(true));

        const publish = (topic: string, payload: object, traceparent: string) =>
          device.publishAsync(
            `devices/traced-1/${topic}`,
            JSON.stringify(payload),
            { qos: 1, properties: { userProperties: { traceparent } } },
          );
        const data = someTrace();
        await publish("data", reading("t", 1, Date.now()), data.traceparent);
        const road = await collector.trace(data.traceId, [
          "bridge append",
          "lane batch",
          "device actors",
          "redis",
          "flush",
          "transaction",
          "copy",
          "commit",
        ]);
        hangTogether(road);
        assert.is(road[0]!.service, "of-the-test");

        // A command: the device gets the trace as a user property, and answers in it.
        const heard = new Promise<{ cmdId: string; traceparent: string }>(
          (resolve) =>
            device.once("message", (_topic, payload, { properties }) => {
              const { cmd_id } = JSON.parse(payload.toString()) as {
                cmd_id: string;
              };
              const given = properties?.userProperties?.["traceparent"];
              resolve({ cmdId: cmd_id, traceparent: String(given) });
            }),
        );
        await device.subscribeAsync("devices/traced-1/commands", { qos: 1 });
        const command = someTrace();
        const post = (path: string, body: unknown, traceparent: string) =>
          fetch(running.http + path, {
            method: "POST",
            headers: { "content-type": "application/json", traceparent },
            body: JSON.stringify(body),
          });
        const given = await post(
          "/devices/traced-1/command",
          { op: "start", queue: true },
          command.traceparent,
        );
        assert.is(given.status, 202, await given.text());
        const { cmdId, traceparent } = await within(
          20_000,
          heard,
          "the command to reach the device",
        );
        assert.match(traceparent, command.traceId);
        const ack = {
          schema: "v1",
          cmd_id: cmdId,
          ok: true,
          ts_exec: new Date().toISOString(),
          err: null,
        };
        await publish("ack", ack, traceparent);
        const round = await collector.trace(command.traceId, [
          "POST /devices/:id/command",
          "command publish",
          "bridge append",
        ]);
        await until(
          () =>
            collector.spans.filter(
              ({ traceId, name }) =>
                traceId === command.traceId && name === "flush",
            ).length >= 2,
          { withinMs: 20_000, what: "the flushes of the command and its ack" },
        );
        hangTogether(
          collector.spans.filter(({ traceId }) => traceId === command.traceId),
        );
        assert.ok(round.length > 3);

        const upload = someTrace();
        const received = await post(
          "/api/v1/telemetry/bulk",
          [
            {
              equip_uuid: "bulk-1",
              equip_nome: "Freezer",
              sensor: [
                {
                  sensor_uuid: "t",
                  sensor_tipo: "temperatura",
                  valor: 2.5,
                  timestamp: new Date().toISOString(),
                },
              ],
            },
          ],
          upload.traceparent,
        );
        assert.is(received.status, 202, await received.text());
        hangTogether(
          await collector.trace(upload.traceId, [
            "POST /api/v1/telemetry/bulk",
            "claims",
          ]),
        );

        // What nobody traces makes no spans, with a sampling of 0.
        const before = collector.spans.length;
        await device.publishAsync(
          "devices/traced-1/data",
          JSON.stringify(reading("t", 2, Date.now())),
          { qos: 1 },
        );
        await until(
          async () => (await all.metric("ingest_points_total")) >= 2,
          { withinMs: 20_000, what: "an untraced reading to be stored" },
        );
        assert.is(await all.stop(), 0);
        assert.is(collector.spans.length, before);
      },
    );
  } finally {
    await collector.close();
  }
});

test.run();
