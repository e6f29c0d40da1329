import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createSeam } from "../../src/gateway/analytics/seam.js";
import type { Reading } from "../../src/ports.js";
import {
  type GatewayRig,
  NOW_S,
  NOW_US,
  withGateway,
} from "../support/gateway-rig.js";

const SENSORS = [3, 5, 9];

const reading = (sensorId: number, timeUs: number, value: number): Reading => ({
  sensorId,
  timeUs,
  value,
  text: null,
});

/** Readings of three sensors at a few instants, each once, in order. */
const rows = fc
  .uniqueArray(
    fc.record({
      sensorId: fc.constantFrom(...SENSORS),
      timeUs: fc.integer({ min: 0, max: 20 }),
      value: fc.integer(),
    }),
    { selector: ({ sensorId, timeUs }) => `${sensorId} ${timeUs}` },
  )
  .map((list) =>
    list
      .map((one) => reading(one.sensorId, one.timeUs, one.value))
      .toSorted((a, b) => a.sensorId - b.sensorId || a.timeUs - b.timeUs),
  );

const seam = suite("seam");

seam("is the union, the database's value first, whatever the batches", () => {
  fc.assert(
    fc.property(
      rows,
      rows,
      fc.integer({ min: 1, max: 9 }),
      (db, redis, size) => {
        const recent = new Map(
          SENSORS.map((id) => [id, redis.filter((one) => one.sensorId === id)]),
        );
        const joined = createSeam(SENSORS, recent);
        const out: Reading[] = [];
        for (let i = 0; i < db.length; i += size)
          out.push(...joined.take(db.slice(i, i + size)));
        out.push(...joined.rest());
        const wanted = new Map<string, Reading>();
        for (const one of [...redis, ...db])
          wanted.set(`${one.sensorId} ${one.timeUs}`, one);
        assert.equal(
          out,
          [...wanted.values()].toSorted(
            (a, b) => a.sensorId - b.sensorId || a.timeUs - b.timeUs,
          ),
        );
      },
    ),
  );
});

/** A device whose rows reach Redis at once and the database some flushes later, each message at its own time. */
async function shownOf(
  rig: GatewayRig,
  deviceId: string,
  limit: number,
): Promise<Map<string, number[]>> {
  const shown = new Map<string, number[]>();
  let next: string | null = "";
  for (let page = 0; next !== null && page < 200; page++) {
    const cursor: string = next === "" ? "" : `&cursor=${next}`;
    const answer = await rig.get(
      `/analytics/equipment/${deviceId}/history?resolution=raw&limit=${limit}${cursor}`,
    );
    assert.is(answer.status, 200, answer.text);
    const body = answer.body as {
      series: { sensor_uuid: string; readings: { value: number }[] }[];
      next: string | null;
    };
    for (const { sensor_uuid: name, readings } of body.series)
      shown.set(name, [
        ...(shown.get(name) ?? []),
        ...readings.map(({ value }) => value),
      ]);
    next = body.next;
  }
  return shown;
}

seam(
  "every reading is shown once, stored yet or not, in pages and as CSV",
  () =>
    withGateway(async (rig) => {
      let devices = 0;
      await fc.assert(
        fc.asyncProperty(
          // For each message: how long ago, in seconds, and whether its row is in the database. The same instant may come twice.
          fc.array(
            fc.record({
              agoS: fc.integer({ min: 1, max: 6 * 3600 }),
              stored: fc.boolean(),
              b: fc.boolean(),
            }),
            { maxLength: 40 },
          ),
          fc.integer({ min: 1, max: 12 }),
          async (messages, limit) => {
            const deviceId = `dev-${++devices}`;
            const ids = rig.analytics.addDevice(deviceId, [
              ["a", "num"],
              ["b", "num"],
            ]);
            const byAgo = new Map(messages.map((one) => [one.agoS, one]));
            const inRedis: string[] = [];
            for (const { agoS, stored, b } of byAgo.values()) {
              const timeUs = NOW_US - agoS * 1e6;
              // What Redis no longer has is in the database.
              const old = agoS > 5 * 3600;
              if (stored || old) {
                rig.analytics.put(ids[0]!, [[timeUs, agoS]]);
                if (b) rig.analytics.put(ids[1]!, [[timeUs, agoS]]);
              }
              if (!old)
                inRedis.push(
                  JSON.stringify({
                    device_id: deviceId,
                    // Of what is stored the database's value counts, not this.
                    payload: {
                      a: stored ? -1 : agoS,
                      ...(b ? { b: stored ? -1 : agoS } : {}),
                    },
                    timestamp: NOW_S - agoS,
                  }),
                );
            }
            await rig.view.putHistory(deviceId, inRedis);
            const wanted = [...byAgo.values()].toSorted(
              (a, b) => b.agoS - a.agoS,
            );
            const of = (name: string) =>
              wanted
                .filter((one) => name === "a" || one.b)
                .map(({ agoS }) => agoS);
            const shown = await shownOf(rig, deviceId, limit);
            assert.equal(shown.get("a"), of("a"));
            assert.equal(shown.get("b"), of("b"));
            const csv = await rig.get(
              `/analytics/equipment/${deviceId}/history?resolution=raw`,
              { accept: "text/csv" },
            );
            assert.equal(
              csv.text
                .trim()
                .split("\r\n")
                .slice(1)
                .map((line) => Number(line.split(",").at(-1))),
              [...of("a"), ...of("b")],
            );
          },
        ),
        { numRuns: 60 },
      );
    }),
);

seam.run();
