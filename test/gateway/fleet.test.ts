/** A fleet in one look: what is counted, whose it is, and what is told while something is away. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { FleetSummary } from "../../src/gateway/fleet.js";
import type { FleetStanding } from "../../src/ports.js";
import { withAuth } from "../support/auth-rig.js";
import { NOW_S, withGateway } from "../support/gateway-rig.js";

const test = suite("fleet summary");

const STANDING: FleetStanding = {
  known: 5,
  quarantined: 1,
  deadLetters: 3,
  positions: [
    { topic: "iot-data", partition: 0, nextOffset: 90 },
    { topic: "iot-data", partition: 1, nextOffset: -1 },
    { topic: "device-commands", partition: 0, nextOffset: 4 },
  ],
};

function fleetDeps() {
  const asked: string[] = [];
  const fail: { reader: Error | null; log: Error | null } = {
    reader: null,
    log: null,
  };
  return {
    asked,
    fail,
    fleet: {
      reader: {
        standing: async (tenant: string) => {
          asked.push(tenant);
          if (fail.reader !== null) throw fail.reader;
          return STANDING;
        },
        close: async () => undefined,
      },
      log: {
        bounds: async (topic: string) => {
          if (fail.log !== null) throw fail.log;
          return topic === "iot-data"
            ? [
                { low: 0, high: 100 },
                { low: 40, high: 50 },
              ]
            : [{ low: 0, high: 4 }];
        },
        offsetsAt: async () => {
          if (fail.log !== null) throw fail.log;
          return [80, 45];
        },
      },
    },
  };
}

const v1 = (status: string): string =>
  JSON.stringify({
    schema: "v1",
    ts: NOW_S,
    points: [{ name: "status", t: "enum", v: status }],
  });

test("devices, states, flow and dead letters are counted", async () => {
  const { fleet } = fleetDeps();
  await withGateway(
    async (rig) => {
      await rig.view.putOnline({
        a: NOW_S,
        b: NOW_S - 5,
        c: NOW_S - 40,
        gone: NOW_S - 61,
      });
      const timestamp = NOW_S;
      await rig.view.putLast("a", { payload: v1("RUN"), timestamp });
      await rig.view.putLast("b", { payload: v1("RUN"), timestamp });
      await rig.view.putLast("c", { payload: '{"t": 1}', timestamp });
      const answer = await rig.get("/api/v1/fleet");
      assert.is(answer.status, 200);
      assert.equal(answer.body, {
        at: "2026-01-15T10:00:00.000Z",
        tenant: "default",
        devices: { known: 5, online: 3, offline: 2, stale: 1, quarantined: 1 },
        states: {
          asked: 3,
          counts: [
            { state: "RUN", devices: 2 },
            { state: null, devices: 1 },
          ],
        },
        // 20 + 5 records in ten seconds; 10 and 10 are not stored, and what retention took is no lag.
        system: { messages_per_s: 2.5, lag: 20 },
        dead_letters: 3,
      } satisfies FleetSummary);
    },
    { deps: { fleet } },
  );
});

test("what cannot be known is null, and the rest is told", async () => {
  const { fleet, fail } = fleetDeps();
  await withGateway(
    async (rig) => {
      await rig.view.putOnline({ a: NOW_S });
      fail.reader = new TwinstreamError("STORE_UNREACHABLE", "away");
      fail.log = new TwinstreamError("LOG_UNREACHABLE", "away");
      const { status, body } = await rig.get("/fleet");
      const summary = body as FleetSummary;
      assert.is(status, 200);
      assert.is(summary.devices.online, 1);
      assert.is(summary.devices.known, null);
      assert.is(summary.devices.offline, null);
      assert.is(summary.dead_letters, null);
      assert.equal(summary.system, { messages_per_s: null, lag: null });

      rig.time.nowMs += 2000;
      fail.reader = fail.log = null;
      rig.view.fail = new TwinstreamError("VIEW_UNREACHABLE", "away");
      const next = (await rig.get("/fleet")).body as FleetSummary;
      assert.is(next.devices.online, null);
      assert.is(next.states, null);
      assert.is(next.devices.known, 5);
    },
    { deps: { fleet } },
  );
});

test("many who look within a moment are one question, each tenant's its own", async () => {
  const { fleet, asked } = fleetDeps();
  await withAuth(
    async (rig) => {
      for (let i = 0; i < 5; i++)
        await rig.get("/fleet", rig.as("viewer", "acme"));
      const other = await rig.get("/fleet", rig.as("viewer", "other"));
      assert.equal(asked, ["acme", "other"]);
      assert.is((other.body as FleetSummary).tenant, "other");
      rig.time.nowMs += 2000;
      await rig.get("/fleet", rig.as("viewer", "acme"));
      assert.is(asked.length, 3);
      assert.is((await rig.get("/fleet")).status, 401);
    },
    { deps: { fleet } },
  );
});

test("a fleet that says ten thousand states gets no list of ten thousand", async () => {
  const { fleet } = fleetDeps();
  await withGateway(
    async (rig) => {
      for (let i = 0; i < 40; i++) {
        await rig.view.putOnline({ [`d${i}`]: NOW_S });
        await rig.view.putLast(`d${i}`, {
          payload: v1(`s${i}`),
          timestamp: NOW_S,
        });
      }
      const { states } = (await rig.get("/fleet")).body as FleetSummary;
      assert.is(states?.counts.length, 13);
      assert.equal(states?.counts.at(-1), { state: "…", devices: 28 });
    },
    { deps: { fleet } },
  );
});

test.run();
