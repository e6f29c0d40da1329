/** The history reader on real databases: the same answers as its double, within the tenant, and no seam under live writes. */
import { randomBytes } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { createDeviceViewReader } from "../../src/adapters/redis/device-view-reader.js";
import { createAnalyticsReader } from "../../src/adapters/timescale/analytics-reader.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import type { DeviceRef, Row, Sensor } from "../../src/domain/device.js";
import { fullMessage } from "../../src/domain/envelope.js";
import type {
  AnalyticsQuestion,
  AnalyticsReader,
  Bucket,
  Reading,
} from "../../src/ports.js";
import {
  change,
  claimLane,
  device,
  moved,
  PARTITION,
  row,
  sensor,
} from "../conformance/telemetry-store-batches.js";
import { withDatabase, whyNoTimescale } from "../support/database.js";
import { withGateway } from "../support/gateway-rig.js";
import { createMemoryAnalytics } from "../support/memory-analytics.js";
import { withServices } from "../support/services.js";
import { within } from "../support/wait.js";

const HOUR_US = 3_600_000_000;
const DAY_US = 24 * HOUR_US;
/** Midnight (UTC) of the day before yesterday. */
const START_US = (Math.floor(Date.now() / 86_400_000) - 2) * DAY_US;

interface Ground {
  readonly reader: AnalyticsReader;
  readonly query: (statement: string) => Promise<unknown>;
  /** Registers them; answers their ids. */
  sensors(of: DeviceRef, list: readonly Sensor[]): Promise<readonly number[]>;
  store(of: DeviceRef, rows: readonly Row[]): Promise<void>;
}

async function withGround(
  extension: "auto" | "never",
  work: (ground: Ground) => Promise<void>,
): Promise<void> {
  await withDatabase({ extension }, async ({ url, admin }) => {
    const options = { url, name: "analytics test", poolMin: 0, poolMax: 4 };
    const store = createTelemetryStore(options);
    const reader = createAnalyticsReader(options);
    try {
      const lane = await claimLane(store);
      await work({
        reader,
        query: (statement) => admin.query(statement),
        async sensors(of, list) {
          await store.register(PARTITION, [of], list);
          return list.map(({ id }) => id);
        },
        async store(of, rows) {
          moved(
            await lane.flush(rows.length, { changes: [change(of, { rows })] }),
          );
        },
      });
    } finally {
      await Promise.all([store.close(), reader.close()]);
    }
  });
}

const skip = await whyNoTimescale();
if (skip !== null) console.log(`skipped: analytics on TimescaleDB: ${skip}`);

const test = suite("history reader");

for (const extension of ["never", "auto"] as const) {
  const name = extension === "never" ? "plain PostgreSQL" : "TimescaleDB";
  const onEngine = extension === "never" || skip === null ? test : test.skip;

  onEngine(`answers as its double does: ${name}`, () =>
    withGround(extension, async (ground) => {
      const dev = device("dev-1");
      const list = [
        sensor(dev, "temp", "num", "°C"),
        sensor(dev, "on", "bool"),
        sensor(dev, "status", "text"),
        sensor(dev, "none"),
      ];
      await ground.sensors(dev, list);
      // Ids are given in an order of the store's own; questions have them ascending.
      list.sort((a, b) => a.id - b.id);
      const ids = list.map(({ id }) => id);
      const place = (name: string) =>
        list.findIndex((one) => one.name === name);
      const [temp, on, status] = ["temp", "on", "status"].map(place);
      const memory = createMemoryAnalytics();
      const twins = memory.addDevice(
        "dev-1",
        list.map((one) => [one.name, one.typeClass]),
      );
      const values: [number, number, number | string][] = [];
      for (let i = 0; i < 300; i++) {
        const timeUs = START_US + i * 400_000_000 + (i % 3);
        values.push([temp!, timeUs, Math.sin(i) * 20], [on!, timeUs, i % 2]);
        if (i % 50 === 0) values.push([status!, timeUs, `text ${i}`]);
      }
      await ground.store(
        dev,
        values.map(([at, timeUs, value]) => row(list[at]!, timeUs, value)),
      );
      for (const [at, timeUs, value] of values)
        memory.put(twins[at]!, [[timeUs, value]]);

      /** Sensors by their place in the list, since ids differ. */
      const placed = <T extends { sensorId: number }>(
        rows: readonly T[],
        of: readonly number[],
      ) => rows.map((one) => ({ ...one, sensorId: of.indexOf(one.sensorId) }));
      const answers = async (
        reader: AnalyticsReader,
        of: readonly number[],
      ) => {
        const question = (
          over: Partial<AnalyticsQuestion>,
        ): AnalyticsQuestion => ({
          tenant: "default",
          sensorIds: of,
          fromUs: START_US + HOUR_US,
          toUs: START_US + 30 * HOUR_US,
          after: null,
          ...over,
        });
        const asked: AnalyticsQuestion[] = [
          question({}),
          question({ sensorIds: of.slice(1, 2) }),
          question({
            after: { sensorId: of[0]!, timeUs: START_US + 5 * HOUR_US },
          }),
          question({ after: { sensorId: of[2]!, timeUs: START_US } }),
          question({
            fromUs: START_US + 40 * DAY_US,
            toUs: START_US + 41 * DAY_US,
          }),
        ];
        const found: unknown[] = [];
        for (const one of asked) {
          const readings: Reading[] = [];
          const hours: Bucket[] = [];
          await reader.streamReadings(one, async (rows) => {
            readings.push(...rows);
          });
          await reader.streamBuckets(one, "hour", async (rows) => {
            hours.push(...rows);
          });
          found.push({
            first: placed(await reader.readings(one, 100), of),
            all: placed(readings, of),
            firstHours: placed(await reader.buckets(one, "hour", 7), of),
            hours: placed(hours, of),
            days: placed(await reader.buckets(one, "day", 1000), of),
          });
        }
        const newest = await reader.newestTimes(
          "default",
          of,
          START_US + 20 * HOUR_US,
          5,
        );
        found.push(of.map((id) => newest.get(id) ?? []));
        const named = { afterId: 0, limit: 10 };
        for (const names of [null, ["on", "ghost"]])
          found.push(
            (
              await reader.equipment("default", "dev-1", { ...named, names })
            )?.sensors.map((one) => [one.name, one.typeClass]),
          );
        found.push(
          await reader.equipment("default", "ghost", { ...named, names: null }),
        );
        return found;
      };
      const real = await answers(ground.reader, ids);
      for (const [i, wanted] of (await answers(memory, twins)).entries())
        assert.is(rounded(real[i]), rounded(wanted));
    }),
  );

  onEngine(`shows another tenant nothing: ${name}`, () =>
    withGround(extension, async (ground) => {
      const dev = device("dev-1", "acme");
      await ground.query("INSERT INTO tenants (tenant_id) VALUES ('acme')");
      const temp = sensor(dev, "temp");
      const ids = await ground.sensors(dev, [temp]);
      await ground.store(dev, [row(temp, START_US, 1)]);
      const counts = async (tenant: string) => {
        const question = {
          tenant,
          sensorIds: ids,
          fromUs: START_US - DAY_US,
          toUs: START_US + DAY_US,
          after: null,
        };
        let streamed = 0;
        await ground.reader.streamReadings(question, async (rows) => {
          streamed += rows.length;
        });
        const options = { names: null, afterId: 0, limit: 9 };
        return [
          (await ground.reader.readings(question, 9)).length,
          (await ground.reader.buckets(question, "hour", 9)).length,
          (await ground.reader.buckets(question, "day", 9)).length,
          streamed,
          [
            ...(
              await ground.reader.newestTimes(tenant, ids, START_US + 1, 9)
            ).values(),
          ].flat().length,
          (await ground.reader.equipment(tenant, "dev-1", options))?.sensors
            .length,
        ];
      };
      assert.equal(await counts("acme"), [1, 1, 1, 1, 1, 1]);
      for (const tenant of ["default", "zeta", "", "acme' OR true --"])
        assert.equal(await counts(tenant), [0, 0, 0, 0, 0, undefined], tenant);
    }),
  );
}

(skip === null ? test : test.skip)(
  "figures hold the newest readings, refreshed or not",
  () =>
    withGround("auto", async (ground) => {
      const dev = device("dev-1");
      const temp = sensor(dev, "temp");
      const [id = 0] = await ground.sensors(dev, [temp]);
      const nowUs = Date.now() * 1000;
      await ground.store(dev, [row(temp, nowUs - 2 * DAY_US, 1)]);
      for (const aggregate of ["hourly", "daily"])
        await ground.query(
          `CALL refresh_continuous_aggregate('store.telemetry_${aggregate}', NULL, now())`,
        );
      await ground.store(dev, [row(temp, nowUs, 2)]);
      const question = {
        tenant: "default",
        sensorIds: [id],
        fromUs: nowUs - 4 * DAY_US,
        toUs: nowUs + 1,
        after: null,
      };
      for (const level of ["hour", "day"] as const)
        assert.equal(
          (await ground.reader.buckets(question, level, 9)).map(
            ({ avg }) => avg,
          ),
          [1, 2],
        );
    }),
);

test("an export that is broken off gives its connection back", () =>
  withGround("never", async (ground) => {
    const dev = device("dev-1");
    const temp = sensor(dev, "temp");
    const ids = await ground.sensors(dev, [temp]);
    await ground.store(
      dev,
      Array.from({ length: 9000 }, (_, i) => row(temp, START_US + i, i)),
    );
    const question = {
      tenant: "default",
      sensorIds: ids,
      fromUs: START_US,
      toUs: START_US + DAY_US,
      after: null,
    };
    // More than the pool has connections.
    for (let i = 0; i < 9; i++) {
      let batches = 0;
      const broken = ground.reader.streamReadings(question, async (rows) => {
        assert.ok(rows.length <= 2000, "a batch at a time");
        if (++batches === 2) throw new Error("the client left");
      });
      const outcome = await within(
        20_000,
        broken.then(
          () => "whole",
          (error: Error) => error.message,
        ),
        "the stream to end",
      );
      assert.is(outcome, "the client left");
    }
    let all = 0;
    await ground.reader.streamReadings(question, async (rows) => {
      all += rows.length;
    });
    assert.is(all, 9000);
  }));

test("the newest readings show no seam and no doubles under live writes", () =>
  withServices(["redis"], ({ REDIS_URL: redis = "" }) =>
    withGround("never", async (ground) => {
      const dev = device(`dev-${randomBytes(6).toString("hex")}`);
      const list = [sensor(dev, "a"), sensor(dev, "b")] as const;
      await ground.sensors(dev, list);
      const view = createDeviceView({
        url: redis,
        historySeconds: 18_000,
        clock: Date.now,
      });
      const reader = createDeviceViewReader({ url: redis });
      const startUs = (Date.now() - 600_000) * 1000;
      const messages = 400;
      /** How many messages Redis has answered for; the database is behind it. */
      let shown = 0;
      let stored = 0;

      async function write(): Promise<void> {
        for (let i = 0; i < messages; i++) {
          const timeUs = startUs + i * 1_000_003;
          const member = fullMessage({
            ...dev,
            payload: `{"a":${i},"b":${-i}}`,
            timeUs,
          });
          await view.write({
            changes: [
              {
                device: dev,
                history: [{ score: timeUs / 1e6, member }],
                publish: [],
                last: null,
                gone: null,
                seenUs: timeUs,
              },
            ],
            publish: false,
            mark: null,
          });
          shown = i + 1;
          if (shown - stored < 1 + (i % 23)) continue;
          const rows: Row[] = [];
          for (let n = stored; n < shown; n++)
            for (const [place, sign] of [1, -1].entries())
              rows.push(row(list[place]!, startUs + n * 1_000_003, sign * n));
          await ground.store(dev, rows);
          stored = shown;
        }
      }

      try {
        const deps = {
          view: reader,
          analytics: ground.reader,
          clock: Date.now,
        };
        await withGateway(
          async ({ get }) => {
            const writing = write();
            let asked = 0;
            let behind = 0;
            for (let done = false; !done; asked++) {
              done = shown === messages;
              const least = shown;
              if (stored < shown) behind += 1;
              let next: string | null = "";
              const values = new Map<string, number[]>();
              while (next !== null) {
                const cursor: string = next === "" ? "" : `&cursor=${next}`;
                const size = asked % 2 === 0 ? 10_000 : 150;
                const answer = await get(
                  `/analytics/equipment/${dev.deviceId}/history?resolution=raw&limit=${size}${cursor}`,
                );
                assert.is(answer.status, 200, answer.text);
                const page = answer.body as {
                  series: {
                    sensor_uuid: string;
                    readings: { value: number }[];
                  }[];
                  next: string | null;
                };
                for (const { sensor_uuid: name, readings } of page.series)
                  values.set(name, [
                    ...(values.get(name) ?? []),
                    ...readings.map(({ value }) => Math.abs(value)),
                  ]);
                next = page.next;
              }
              for (const list_ of values.values()) {
                assert.ok(list_.length >= least, `${list_.length} of ${least}`);
                assert.equal(
                  list_,
                  list_.map((_, i) => i),
                  "each once, in order",
                );
              }
            }
            await writing;
            assert.ok(
              asked > 3 && behind > 0,
              `asked ${asked}, behind ${behind}`,
            );
          },
          { deps },
        );
      } finally {
        await Promise.all([view.close(), reader.close()]);
      }
    }),
  ));

test.run();

/** As text, figures to ten digits: sums taken in another order differ behind them. */
function rounded(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, one: unknown) =>
      typeof one === "number" && !Number.isInteger(one)
        ? Number(one.toPrecision(10))
        : one,
    1,
  );
}
